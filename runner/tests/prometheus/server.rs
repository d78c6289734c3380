//! A real Prometheus in a folder of its own.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

pub struct Server {
    pub url: String,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// A Prometheus with these scrape configurations; none where nobody says where the program is.
    pub async fn start(interval: Duration, jobs: &[Value]) -> Option<Self> {
        let Some(program) = std::env::var_os("BAKEOFF_PROMETHEUS") else {
            eprintln!("skipped: BAKEOFF_PROMETHEUS names no program; `cargo e2e test` does");
            return None;
        };
        let interval = format!("{}ms", interval.as_millis());
        let config = json!({
            "global": {"scrape_interval": interval, "scrape_timeout": interval},
            "scrape_configs": jobs,
        });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prometheus.json");
        fs::write(&file, config.to_string()).unwrap();
        // Another process may take the port in between; then the test fails, and says why.
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .arg("--log.level=error")
            .spawn()
            .unwrap();
        let server = Self {
            url: format!("http://{address}"),
            child,
            _folder: folder,
        };
        server.time_when("vector(1)").await;
        Some(server)
    }

    /// What a query gives now; nothing where Prometheus does not answer.
    pub async fn ask(&self, query: &str) -> Value {
        // The tests' other clients are rustls' too.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("{}/api/v1/query", self.url);
        // In the body, for an address has a longest length.
        let form = reqwest::Url::parse_with_params(&url, [("query", query)]).unwrap();
        let asked = reqwest::Client::new()
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.query().unwrap_or_default().to_owned());
        match asked.send().await {
            Ok(answer) => answer.json().await.unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }

    /// The time on Prometheus' clock, in seconds since 1970, once a query gives something.
    pub async fn time_when(&self, query: &str) -> f64 {
        let asked = async {
            loop {
                let answer = self.ask(query).await;
                if let Some(time) = answer.pointer("/data/result/0/value/0") {
                    return time.as_f64().unwrap();
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, asked).await;
        waited.unwrap_or_else(|_| panic!("waited {PATIENCE:?} until Prometheus has {query}"))
    }
}
