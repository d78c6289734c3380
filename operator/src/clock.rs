//! The only place that reads the time.

use std::{
    fmt,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;

/// Where the time is read from.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that shows what this gives, in whole seconds.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// What a future gives, and the time for which it was at work, without that in which it waited for an
/// answer. Where the machine has more to do than cores, it includes what others took meanwhile.
pub async fn at_work<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let mut future = pin!(future);
    let mut worked = Duration::ZERO;
    let output = std::future::poll_fn(|context| {
        let begun = Instant::now();
        let polled = future.as_mut().poll(context);
        worked += begun.elapsed();
        polled
    })
    .await;
    (output, worked)
}

/// Now, in whole seconds: Kubernetes stores no more, and a status read back must equal the one
/// written.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
