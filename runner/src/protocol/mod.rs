//! The engines' wire formats, without I/O: bytes in, events out.
