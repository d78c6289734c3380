//! Trying again while a store is away.

use std::time::Duration;

use super::{Store, StoreError};

/// Pause after the first failed try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Between the tries, without an end.
fn pauses() -> impl Iterator<Item = Duration> {
    let twice = |pause: &Duration| Some((*pause * 2).min(LONGEST_PAUSE));
    std::iter::successors(Some(FIRST_PAUSE), twice)
}

/// Acts again and again, with growing pauses, while the store is away; what it refuses, it refuses at
/// once. Once only, where there is no time.
///
/// # Errors
/// The first error that will not pass, or [`StoreError::Deadline`].
pub(super) async fn until<T, F: Future<Output = Result<T, StoreError>>>(
    store: &Store,
    path: &str,
    action: &'static str,
    time: Duration,
    act: impl Fn() -> F,
) -> Result<T, StoreError> {
    if time.is_zero() {
        return act().await;
    }
    let mut last = None;
    let tries = async {
        for pause in pauses() {
            match act().await {
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, "the store is away, trying again in {pause:?}");
                    last = Some(error.to_string());
                    tokio::time::sleep(pause).await;
                }
                done => return done,
            }
        }
        act().await
    };
    match tokio::time::timeout(time, tries).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::Deadline {
            uri: store.uri(path),
            action,
            seconds: time.as_secs(),
            last: last.unwrap_or_else(|| "no answer".into()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn pauses_grow_to_half_a_minute() {
        let seconds: Vec<f64> = pauses().take(9).map(|pause| pause.as_secs_f64()).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
    }

    fn refused(transient: bool) -> StoreError {
        StoreError::Refused {
            uri: "s3://bucket/x".into(),
            action: "written",
            cause: "503".into(),
            remedy: "wait".into(),
            transient,
        }
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_asked_again_until_it_is_back_or_the_time_is_over() {
        let store = Store::in_memory();
        let tries = AtomicU32::new(0);
        let back_after = |most: u32| {
            let tries = &tries;
            move || async move {
                match tries.fetch_add(1, Ordering::Relaxed) {
                    before if before < most => Err(refused(true)),
                    _ => Ok(7),
                }
            }
        };
        let minute = Duration::from_secs(60);
        let done = until(&store, "x", "written", minute, back_after(2)).await;
        assert_eq!((done.unwrap(), tries.swap(0, Ordering::Relaxed)), (7, 3));
        // It stays away: that is said, with what was heard last. A later process may fare better.
        let second = Duration::from_secs(1);
        let error = until(&store, "x", "read", second, back_after(100)).await;
        let error = error.unwrap_err();
        let told =
            "s3://memory/x could not be read within 1 s: s3://bucket/x cannot be written: 503";
        assert!(error.to_string().starts_with(told), "{error}");
        assert!(error.may_pass());
        assert_eq!(tries.swap(0, Ordering::Relaxed), 2);
        // Where there is no time, one try has to do.
        let once = until(&store, "x", "read", Duration::ZERO, back_after(1)).await;
        assert!(matches!(once, Err(StoreError::Refused { .. })));
        assert_eq!(tries.swap(0, Ordering::Relaxed), 1);
        // What is refused for good is not asked again.
        let denied = until(&store, "x", "read", minute, || async {
            tries.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(refused(false))
        });
        assert!(!denied.await.unwrap_err().may_pass());
        assert_eq!(tries.load(Ordering::Relaxed), 1);
    }
}
