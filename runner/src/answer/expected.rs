//! Whether an answer is the right one.

use serde::{Deserialize, Serialize};

/// What the data set says of the right answer to a prompt.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Expected {
    /// Each of them is right.
    pub answers: Vec<String>,
    /// How an answer is held against them.
    #[serde(default)]
    pub rule: MatchRule,
}

/// How an answer is held against the right ones.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum MatchRule {
    /// The whole answer is it, once both are normalized.
    #[default]
    Exact,
    /// The normalized answer holds it, as whole words.
    Contains,
    /// The last number of the answer is it.
    LastNumber,
}

impl Expected {
    /// Whether an answer is right.
    pub fn is_met_by(&self, answer: &str) -> bool {
        let judged = normalized(answer);
        self.answers.iter().any(|right| match self.rule {
            MatchRule::Exact => judged == normalized(right),
            MatchRule::Contains => {
                let right = normalized(right);
                !right.is_empty() && format!(" {judged} ").contains(&format!(" {right} "))
            }
            MatchRule::LastNumber => {
                let (found, right) = (last_number(answer), last_number(right));
                found.is_some() && found == right
            }
        })
    }
}

/// As SQuAD's exact match compares texts (P. Rajpurkar and others, EMNLP 2016): in lower case,
/// without ASCII punctuation, without the articles a, an and the, one space between words.
fn normalized(text: &str) -> String {
    let plain: String = text
        .to_lowercase()
        .chars()
        .filter(|character| !character.is_ascii_punctuation())
        .collect();
    let words = plain.split_whitespace();
    words
        .filter(|word| !matches!(*word, "a" | "an" | "the"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The last number of a text, commas between its digits left out: how answers to problems such as
/// GSM8K's are read (K. Cobbe and others, 2021).
fn last_number(text: &str) -> Option<f64> {
    let mut last = None;
    let mut number = String::new();
    let mut before = ' ';
    // A space ends the last one.
    for character in text.chars().chain([' ']) {
        match character {
            '0'..='9' => {
                if number.is_empty() && before == '-' {
                    number.push('-');
                }
                number.push(character);
            }
            ',' if !number.is_empty() => {}
            '.' if !number.is_empty() && !number.contains('.') => number.push('.'),
            _ if !number.is_empty() => {
                last = number.trim_end_matches('.').parse().ok().or(last);
                number.clear();
            }
            _ => {}
        }
        before = character;
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_by_their_rule() {
        use MatchRule::{Contains, Exact, LastNumber};
        for (rule, right, answer, expected) in [
            (Exact, "Paris", " paris.\n", true),
            (Exact, "The Eiffel Tower", "Eiffel tower!", true),
            (Exact, "Paris", "It is Paris", false),
            (Exact, "", "Paris", false),
            (Contains, "Paris", "It is Paris, of course.", true),
            (Contains, "Paris", "It is Parisian.", false),
            (Contains, "", "Paris", false),
            (Contains, "New York", "in new-york", false),
            (LastNumber, "72", "48 and 24 make 72.", true),
            (LastNumber, "1,234.50", "So it costs $1234.5 in all", true),
            (LastNumber, "-3", "that leaves -3", true),
            (LastNumber, "3", "5-3", false),
            (LastNumber, "72", "72 less 1 is 71", false),
            (LastNumber, "72", "I do not know", false),
            (LastNumber, "none", "none", false),
        ] {
            let expectation = Expected {
                answers: vec!["something else 0.5".into(), right.into()],
                rule,
            };
            assert_eq!(
                expectation.is_met_by(answer),
                expected,
                "{rule:?} {right:?} {answer:?}"
            );
        }
    }
}
