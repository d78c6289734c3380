//! Command lines by a table of the flags that a program knows.

use std::collections::BTreeMap;

/// What a program says of a command line that it does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(pub String);

/// A flag of a program.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Its names, the chief one first, with their dashes.
    pub names: &'static [&'static str],
    /// What may follow it.
    pub value: Value,
}

/// What may follow a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    None,
    /// A value, after a space or `=`.
    Required,
    /// As many values as follow until the next flag, at least one; kept one a line.
    Several,
    /// A value after `=` or, unless it looks like a flag, after a space.
    Optional,
}

/// A flag that takes a value.
pub const fn value(names: &'static [&'static str]) -> Flag {
    Flag {
        names,
        value: Value::Required,
    }
}

/// A flag that takes one value or more.
pub const fn several(names: &'static [&'static str]) -> Flag {
    Flag {
        names,
        value: Value::Several,
    }
}

/// A flag that takes none.
pub const fn switch(names: &'static [&'static str]) -> Flag {
    Flag {
        names,
        value: Value::None,
    }
}

/// A flag that may take a value.
pub const fn optional(names: &'static [&'static str]) -> Flag {
    Flag {
        names,
        value: Value::Optional,
    }
}

/// What a command line holds: values by chief name, and what is no flag.
#[derive(Debug, Default)]
pub struct Arguments {
    values: BTreeMap<&'static str, String>,
    /// What is no flag, in order.
    pub positional: Vec<String>,
}

/// How a program takes the values of its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As the next word or after `=`.
    SpaceOrEquals,
    /// As the next word only: `--flag=value` is an unknown flag.
    Space,
}

/// Why a command line is not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault<'a> {
    /// No such flag.
    Unknown(&'a str),
    /// Its value is missing.
    NoValue(&'a str),
    /// It takes none.
    Surplus(&'a str),
}

impl Arguments {
    /// Reads a command line. A repeated flag holds its last value.
    pub fn read<'a>(flags: &[Flag], style: Style, words: &'a [String]) -> Result<Self, Fault<'a>> {
        let mut arguments = Self::default();
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            if !word.starts_with('-') || word == "-" {
                arguments.positional.push(word.clone());
                continue;
            }
            let (name, attached) = match word.split_once('=') {
                Some((name, value)) if style == Style::SpaceOrEquals => {
                    (name, Some(value.to_owned()))
                }
                _ => (word.as_str(), None),
            };
            let flag = flags
                .iter()
                .find(|flag| flag.names.contains(&name))
                .ok_or(Fault::Unknown(word))?;
            let given = match (flag.value, attached) {
                (Value::None, Some(_)) => return Err(Fault::Surplus(word)),
                (Value::None, None) => String::new(),
                (Value::Required | Value::Optional | Value::Several, Some(value)) => value,
                (Value::Several, None) => {
                    let mut given = Vec::new();
                    while let Some(next) = words.next_if(|next| !next.starts_with('-')) {
                        given.push(next.clone());
                    }
                    if given.is_empty() {
                        return Err(Fault::NoValue(word));
                    }
                    given.join("\n")
                }
                (Value::Required, None) => words.next().ok_or(Fault::NoValue(word))?.clone(),
                (Value::Optional, None) => words
                    .next_if(|next| !next.starts_with('-'))
                    .cloned()
                    .unwrap_or_default(),
            };
            if let Some(chief) = flag.names.first() {
                arguments.values.insert(chief, given);
            }
        }
        Ok(arguments)
    }

    /// The value of a flag by its chief name; empty for a switch.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value as a number.
    ///
    /// # Errors
    /// Where it is none.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Misuse> {
        self.get(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| Misuse(format!("error: argument {name}: invalid value: '{text}'")))
            })
            .transpose()
    }
}
