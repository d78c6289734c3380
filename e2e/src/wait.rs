//! Waiting for a state of affairs, never for an amount of time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const PAUSE: Duration = Duration::from_millis(100);

/// Tries until it succeeds; after `limit`, fails with the last try's reason.
pub fn until<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => {
                bail!("waited {limit:?} until {what}; last: {error:#}")
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}
