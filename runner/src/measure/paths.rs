//! Where a round's results lie in the run's folder.

/// The stage's report.
pub const STAGE: &str = "stage.json";
/// The log of its requests.
pub const REQUESTS: &str = "requests.jsonl.zst";
/// Written when an attempt begins: where there is no `stage.json` beside it, the attempt was cut.
pub const BEGUN: &str = "begun.json";

/// Folder of one engine's round.
pub fn round_folder(engine: &str, round: u32) -> String {
    format!("engines/{engine}/round-{round}")
}

/// Folder of one attempt at one stage.
pub fn attempt_folder(
    engine: &str,
    round: u32,
    repetition: u32,
    stage: &str,
    attempt: u32,
) -> String {
    let round = round_folder(engine, round);
    format!("{round}/rep-{repetition}/{stage}/attempt-{attempt}")
}

/// A file within a round's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) repetition: u32,
    pub(super) stage: &'a str,
    pub(super) attempt: u32,
    pub(super) file: &'a str,
}

/// Takes a path apart; `None` for anything that no runner writes.
pub(super) fn parse<'a>(folder: &str, path: &'a str) -> Option<Place<'a>> {
    let mut parts = path.strip_prefix(folder)?.strip_prefix('/')?.split('/');
    let place = Place {
        repetition: parts.next()?.strip_prefix("rep-")?.parse().ok()?,
        stage: parts.next()?,
        attempt: parts.next()?.strip_prefix("attempt-")?.parse().ok()?,
        file: parts.next()?,
    };
    parts.next().is_none().then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_apart_as_it_was_made() {
        let folder = round_folder("vllm", 2);
        let path = format!("{}/{STAGE}", attempt_folder("vllm", 2, 3, "rate-0.5", 4));
        assert_eq!(
            path,
            "engines/vllm/round-2/rep-3/rate-0.5/attempt-4/stage.json"
        );
        let place = parse(&folder, &path).unwrap();
        assert_eq!(
            place,
            Place {
                repetition: 3,
                stage: "rate-0.5",
                attempt: 4,
                file: STAGE
            }
        );
        for other in [
            "engines/vllm/round-2/notes.txt",
            "engines/vllm/round-21/rep-1/a/attempt-1/stage.json",
            "engines/vllm/round-2/rep-x/a/attempt-1/stage.json",
        ] {
            assert_eq!(parse(&folder, other), None, "{other}");
        }
    }
}
