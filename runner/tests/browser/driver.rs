//! A headless Chromium, led through ChromeDriver by the WebDriver protocol
//! (<https://www.w3.org/TR/webdriver2/>).

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// A browser with one window; both end with it.
pub(crate) struct Browser {
    driver: Child,
    client: reqwest::Client,
    session: String,
}

impl Browser {
    /// Starts the driver at this path, and a browser by it.
    pub(crate) async fn start(driver: &Path) -> Result<Self> {
        // The one set of ciphers that the program uses too; it may have been set before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build()?;
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", driver.display()))?;
        let stdout = driver.stdout.take().context("the driver has no output")?;
        let port: u16 = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, port) = line.split_once("successfully on port ")?;
                port.trim_end_matches('.').parse().ok()
            })
            .context("the driver names no port")?;
        let mut browser = Self {
            driver,
            client,
            session: format!("http://127.0.0.1:{port}/session"),
        };
        // Nothing of a browser's own talks to the network; and as root it has no sandbox.
        let options = json!({
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage"],
        });
        let answer = browser
            .post(
                "",
                json!({ "capabilities": { "alwaysMatch": {
                    "browserName": "chrome",
                    "goog:chromeOptions": options,
                    "goog:loggingPrefs": { "browser": "ALL" },
                }}}),
            )
            .await?;
        let session = answer["sessionId"].as_str().context("no session")?;
        browser.session = format!("{}/{session}", browser.session);
        Ok(browser)
    }

    /// Shows a file in a window of this width, light or dark.
    pub(crate) async fn show(&self, file: &Path, width: u32, scheme: &str) -> Result<()> {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 }),
        )
        .await?;
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": [feature] }),
        )
        .await?;
        let url = format!("file://{}", file.display());
        self.post("/url", json!({ "url": url })).await?;
        Ok(())
    }

    /// What a script returns that runs in the page.
    pub(crate) async fn run(&self, script: &str) -> Result<Value> {
        self.post("/execute/sync", json!({ "script": script, "args": [] }))
            .await
    }

    /// What the browser had to say since the last look, such as refusals by the page's policy.
    pub(crate) async fn console(&self) -> Result<Value> {
        self.post("/se/log", json!({ "type": "browser" })).await
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        let body = json!({ "cmd": command, "params": parameters });
        self.post("/goog/cdp/execute", body).await
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        let url = format!("{}{path}", self.session);
        let answer = self.client.post(&url).json(&body).send().await?;
        let mut answer: Value = answer.json().await?;
        let value = answer["value"].take();
        if let Some(error) = value["error"].as_str() {
            bail!("{path}: {error}: {}", value["message"]);
        }
        Ok(value)
    }

    /// Ends the browser, then its driver.
    pub(crate) async fn end(mut self) -> Result<()> {
        let ended = self.client.delete(&self.session).send().await;
        self.driver.kill()?;
        self.driver.wait()?;
        ended?.error_for_status()?;
        Ok(())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Where a check failed before the end; ended already elsewhere.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
