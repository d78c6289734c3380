//! Pieces of SVG. Every text goes through [`escape`].

/// Text as it may stand in an element or a quoted attribute. Characters that XML forbids become
/// spaces.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push(' '),
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A whole document.
pub fn document(width: f64, height: f64, label: &str, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"{}\">{body}</svg>\n",
        escape(label)
    )
}

/// A line of text, its baseline beginning at a place.
pub fn text(x: f64, y: f64, class: &str, content: &str) -> String {
    anchored(x, y, class, "start", content)
}

/// A line of text with its `start`, `middle` or `end` at a place.
pub fn anchored(x: f64, y: f64, class: &str, anchor: &str, content: &str) -> String {
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{}</text>",
        escape(content)
    )
}
