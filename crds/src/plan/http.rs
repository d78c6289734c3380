//! Protocols that are data: their formats, and requests made from templates.

mod builtin;
mod check;
mod template;

pub use builtin::builtin;
pub(super) use check::check;
pub use template::{BodyValues, HttpFormatError, RequestTemplate, TemplateMessage};

#[cfg(test)]
mod tests;
