//! What is kept of one request.
