//! What a hub lists and what a volume says that it holds, mutated at random: nothing is fetched to
//! where it does not belong.

use std::path::{Component, Path};

use bakeoff_crds::common::shortened;
use serde_json::json;

use super::{
    hub::listed,
    source::choose,
    volume::{CONTENT, Volume},
};
use crate::testing::fuzz;

const WORDS: &[&[u8]] = &[
    b"../",
    b"/",
    b"..",
    b"\\\\",
    b"\\u0000",
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"-1",
    b"18446744073709551616",
    b"1e999",
    b"\xFF",
    b"/etc/passwd",
    b"CON",
    b".",
    b" ",
];

fn is_below(path: &str) -> bool {
    Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
}

#[test]
fn a_listing_leads_nowhere_but_into_its_folder() {
    let whole = json!({"id": "org/m", "sha": "0123456789abcdef0123456789abcdef01234567", "siblings": [
        {"rfilename": "config.json", "size": 7},
        {"rfilename": "sub/model-1.safetensors", "size": 9, "lfs": {"size": 9, "sha256": "AB"}},
        {"rfilename": "original/x.pth"},
    ]});
    let patterns = [String::new(), "*".into(), "*.json".into(), "**/../*".into()];
    let (mut chosen, mut refused) = (0, 0);
    fuzz::cases(2000, |random| {
        let mut answer = whole.clone();
        for _ in 0..random.below(3) {
            random.mutate_json(&mut answer);
        }
        let mut body = serde_json::to_vec(&answer).unwrap();
        for _ in 0..random.below(3) {
            random.mutate(
                &mut body,
                &[b"../../tmp/x\", \"sha\": \"../../../tmp"],
                WORDS,
            );
        }
        let pattern = random.pick(&patterns).clone();
        let patterns = [pattern];
        let patterns = if random.below(2) == 0 {
            &patterns[..]
        } else {
            &[]
        };
        let found = listed(&body).and_then(|(commit, files)| {
            assert!(is_below(&commit), "{commit:?}");
            choose(files, patterns, "org/m at main").map_err(|failure| failure.message)
        });
        match found {
            Ok(files) => {
                chosen += 1;
                assert!(!files.is_empty());
                for file in files {
                    assert!(is_below(&file.path), "{:?}", file.path);
                }
            }
            Err(problem) => {
                refused += 1;
                // A path of a listing may be as long as its mutation makes it.
                assert!(!shortened(&problem, 9).is_empty());
            }
        }
    });
    eprintln!("{chosen} chosen, {refused} refused");
    assert!(chosen > 0 && refused > 0);
}

#[test]
fn a_commit_is_no_path() {
    for sha in ["../../../tmp", "a/b", "", ".", "\u{e9}", &"a".repeat(65)] {
        let body = json!({"sha": sha, "siblings": [{"rfilename": "a"}]}).to_string();
        let problem = listed(body.as_bytes()).unwrap_err();
        assert!(problem.ends_with("is no commit"), "{problem}");
    }
}

#[test]
fn what_a_volume_says_of_itself_is_taken_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let volume = Volume::open(folder.path()).unwrap();
    let own = folder.path().join("m");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("a.bin"), b"1234").unwrap();
    let whole = json!({"id": "org/m", "revision": "main", "commit": "abc", "files": [
        {"path": "a.bin", "size": 4, "sha256": "0".repeat(64)},
    ]});
    let (mut taken, mut refused) = (0, 0);
    fuzz::cases(300, |random| {
        let mut content = whole.clone();
        for _ in 0..random.below(3) {
            random.mutate_json(&mut content);
        }
        let mut bytes = serde_json::to_vec(&content).unwrap();
        if random.below(3) == 0 {
            random.mutate(&mut bytes, &[b"{}"], WORDS);
        }
        std::fs::write(own.join(CONTENT), &bytes).unwrap();
        match volume.content("m") {
            Ok(_) => taken += 1,
            Err(failure) => {
                refused += 1;
                assert!(failure.message.contains("is not as it was filled"));
            }
        }
    });
    eprintln!("{taken} taken, {refused} refused");
    assert!(taken > 0 && refused > 0);
}
