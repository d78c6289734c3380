//! What the requests of `bakeoff bench` hold, from its flags.

use bakeoff_crds::{
    Duration,
    run::{
        Adapter, Conversations, History, ModelShare, SharedPrefix, ThinkDistribution, ThinkTime,
    },
};

use super::{flags::Arguments, words::HistoryName};

/// What the requests hold.
#[derive(Debug, PartialEq)]
pub(super) struct Traffic {
    /// The first model.
    pub(super) model: String,
    /// The others.
    pub(super) adapters: Vec<Adapter>,
    /// The shares of all; empty where there is one.
    pub(super) models: Vec<ModelShare>,
    pub(super) shared_prefix: Option<SharedPrefix>,
    pub(super) conversations: Option<Conversations>,
}

impl Traffic {
    /// # Errors
    /// With the flag, its value and the remedy.
    pub(super) fn read(arguments: &Arguments) -> Result<Self, String> {
        let mut models = models(&arguments.models)?;
        let model = models
            .first()
            .map(|first| first.name.clone())
            .unwrap_or_default();
        let others = models.iter().skip(1);
        let adapters = others
            .map(|other| Adapter {
                name: other.name.clone(),
                id: other.name.clone(),
                revision: None,
            })
            .collect();
        if models.len() == 1 {
            models.clear();
        }
        let prefix = arguments.shared_prefix.as_deref();
        Ok(Self {
            model,
            adapters,
            models,
            shared_prefix: prefix.map(shared_prefix).transpose()?,
            conversations: conversations(arguments)?,
        })
    }
}

fn models(given: &[String]) -> Result<Vec<ModelShare>, String> {
    let share = |text: &String| {
        let (name, weight) = match text.split_once('=') {
            None => (text.as_str(), Some(1)),
            Some((name, weight)) => (name, weight.parse().ok()),
        };
        match weight {
            Some(weight @ 1..=1000) if !name.is_empty() => Ok(ModelShare {
                name: name.to_owned(),
                weight,
            }),
            _ => Err(format!(
                "--model {text}: write NAME, or NAME=WEIGHT with a whole number from 1 to 1000"
            )),
        }
    };
    given.iter().map(share).collect()
}

fn shared_prefix(text: &str) -> Result<SharedPrefix, String> {
    let (tokens, groups) = text.split_once(':').unwrap_or((text, "1"));
    let number = |text: &str| text.parse().ok().filter(|&number: &u32| number > 0);
    match (number(tokens), number(groups)) {
        (Some(tokens), Some(groups)) => Ok(SharedPrefix { tokens, groups }),
        _ => Err(format!(
            "--shared-prefix {text}: write TOKENS, or TOKENS:GROUPS, such as 200:8"
        )),
    }
}

fn conversations(arguments: &Arguments) -> Result<Option<Conversations>, String> {
    let Some(max_turns) = arguments.max_turns else {
        return Ok(None);
    };
    let think_time = arguments
        .think_time
        .as_deref()
        .map(think_time)
        .transpose()?;
    Ok(Some(Conversations {
        max_turns,
        think_time,
        history: match arguments.history {
            HistoryName::Recorded => History::Recorded,
            HistoryName::Answers => History::Answers,
        },
    }))
}

fn think_time(text: &str) -> Result<ThinkTime, String> {
    let (time, distribution) = match text.strip_prefix("constant:") {
        Some(time) => (time, ThinkDistribution::Constant),
        None => (text, ThinkDistribution::Exponential),
    };
    let mean: Duration = time
        .parse()
        .map_err(|error| format!("--think-time {text}: {error}; write 2s, or constant:2s"))?;
    Ok(ThinkTime { mean, distribution })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn read(flags: &str) -> Result<Traffic, String> {
        let line = format!(
            "bench --url http://h --protocol openai-chat --concurrency 1 --requests 1 {flags}"
        );
        let line = Line::try_parse_from(line.split_whitespace());
        Traffic::read(&line.map_err(|error| error.to_string())?.arguments)
    }

    #[test]
    fn flags_say_what_requests_hold() {
        let one = read("--model m").unwrap();
        assert_eq!((one.model.as_str(), one.models.len()), ("m", 0));
        assert_eq!((one.shared_prefix, one.conversations), (None, None));

        let several = read(
            "--model m=3 --model org/lora --input-tokens 50 --shared-prefix 20:4 --max-turns 5 --think-time constant:2s --history answers",
        )
        .unwrap();
        let shares: Vec<(&str, u32)> = several
            .models
            .iter()
            .map(|share| (share.name.as_str(), share.weight))
            .collect();
        assert_eq!(shares, [("m", 3), ("org/lora", 1)]);
        assert_eq!(several.adapters[0].name, "org/lora");
        assert_eq!(
            several.shared_prefix,
            Some(SharedPrefix {
                tokens: 20,
                groups: 4
            })
        );
        let conversations = several.conversations.unwrap();
        assert_eq!(conversations.max_turns, 5);
        assert_eq!(conversations.history, History::Answers);
        let think = conversations.think_time.unwrap();
        assert_eq!(think.distribution, ThinkDistribution::Constant);
        assert_eq!(think.mean, Duration::from_secs(2));
    }

    #[test]
    fn bad_flags_are_named_with_the_remedy() {
        for (flags, error) in [
            ("--model m=0", "--model m=0: write NAME"),
            ("--model =2", "--model =2: write NAME"),
            (
                "--model m --input-tokens 9 --shared-prefix x",
                "--shared-prefix x: write TOKENS",
            ),
            (
                "--model m --input-tokens 9 --shared-prefix 5:0",
                "TOKENS:GROUPS",
            ),
            (
                "--model m --max-turns 2 --think-time soon",
                "--think-time soon",
            ),
            ("--model m --think-time 2s", "--max-turns"),
            ("--model m --shared-prefix 5", "--input-tokens"),
        ] {
            let found = read(flags).unwrap_err();
            assert!(found.contains(error), "{flags}: {found}");
        }
    }
}
