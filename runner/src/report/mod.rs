//! Report assembly, pages and pictures.
