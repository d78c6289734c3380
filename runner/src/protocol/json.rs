//! Pieces of JSON that borrow from the frame.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// A string that borrows from the frame unless it holds escapes. (Serde gives an owned string for
/// an `Option<Cow<str>>`, even with `borrow`.)
#[derive(Debug, Default)]
pub struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text of an optional string; empty where there is none.
pub fn text<'a>(value: &'a Option<Text<'_>>) -> &'a str {
    value.as_ref().map_or("", Text::as_str)
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(value)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(value.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// An error as servers put it into a body: a string, or an object with `message`; anything else is
/// an error without words.
#[derive(Debug)]
pub struct ErrorField(pub String);

impl<'de> Deserialize<'de> for ErrorField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ErrorVisitor;

        impl<'de> Visitor<'de> for ErrorVisitor {
            type Value = ErrorField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an error")
            }

            fn visit_str<E>(self, value: &str) -> Result<ErrorField, E> {
                Ok(ErrorField(value.to_owned()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<ErrorField, E> {
                Ok(ErrorField(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<ErrorField, E> {
                Ok(ErrorField(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<ErrorField, E> {
                Ok(ErrorField(value.to_string()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ErrorField, A::Error> {
                let mut message = None;
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if key.as_str() == "message" {
                        message = map.next_value::<Option<String>>()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(ErrorField(
                    message.unwrap_or_else(|| "without a message".to_owned()),
                ))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ErrorField, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(ErrorField("without a message".to_owned()))
            }
        }

        deserializer.deserialize_any(ErrorVisitor)
    }
}

/// A request body as bytes.
pub fn body(request: &impl Serialize) -> bytes::Bytes {
    // Our request types hold strings, numbers and lists: nothing that JSON cannot say.
    serde_json::to_vec(request).unwrap_or_default().into()
}
