//! Chromium without a window, driven over WebDriver (W3C) by chromedriver.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

/// Longest wait for a browser: it is slow on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Browsers need most of a machine of two cores: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// One browser with a profile of its own; gone when dropped.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: TempDir,
    _alone: Option<MutexGuard<'static, ()>>,
}

/// How large and how light a page is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) width: u32,
    pub(crate) dark: bool,
}

impl Browser {
    pub(crate) fn start() -> Self {
        Self::with(Some(ALONE.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Another one, for as long as this one is there.
    pub(crate) fn beside(&self) -> Self {
        Self::with(None)
    }

    fn with(alone: Option<MutexGuard<'static, ()>>) -> Self {
        let profile = TempDir::new().unwrap();
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--log-level=SEVERE"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver, of Debian's package chromium-driver");
        let port = port_said(driver.stdout.take().unwrap());
        let mut browser =
            Self { driver, port, session: String::new(), _profile: profile, _alone: alone };
        let reply = browser.ask("POST", "/session", &capabilities(browser._profile.path()));
        browser.session = reply["sessionId"].as_str().unwrap().to_owned();
        browser.command("timeouts", &json!({ "script": 110_000, "pageLoad": 110_000 }));
        browser
    }

    /// Open an address and wait for the page to be loaded.
    pub(crate) fn open(&self, url: &str) {
        self.command("url", &json!({ "url": url }));
    }

    /// What a script gives back: `return …`.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// What a script gives to `done(…)`, sooner or later.
    pub(crate) fn run_async(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1]; {script}");
        self.command("execute/async", &json!({ "script": script, "args": [] }))
    }

    /// Wait until an expression is true.
    #[track_caller]
    pub(crate) fn wait_for(&self, expression: &str) {
        let started = Instant::now();
        let script = format!("return Boolean({expression})");
        while self.run(&script) != Value::Bool(true) {
            let page = self.run("return document.body.innerText");
            assert!(started.elapsed() < PATIENCE, "never {expression}, but\n{}", text(&page));
        }
    }

    /// Click on an element as a person does, who may do what a script may not.
    pub(crate) fn click(&self, selector: &str) {
        let by = json!({ "using": "css selector", "value": selector });
        let found = self.command("element", &by);
        let id = found.as_object().and_then(|it| it.values().next()).map(text).unwrap();
        self.command(&format!("element/{id}/click"), &json!({}));
    }

    /// Press a key, wherever the focus is.
    pub(crate) fn press(&self, key: &str) {
        let action = |kind| json!({ "type": kind, "value": key });
        let keys =
            json!({ "type": "key", "id": "keys", "actions": [action("keyDown"), action("keyUp")] });
        self.command("actions", &json!({ "actions": [keys] }));
    }

    /// Show pages in this way from now on.
    pub(crate) fn look(&self, look: Look) {
        let scheme = if look.dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
        let (width, mobile) = (look.width, look.width < 600);
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": mobile });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// The page as it is shown now, as a PNG file.
    pub(crate) fn picture(&self, file: &Path) {
        let reply = self.ask("GET", &format!("/session/{}/screenshot", self.session), &Value::Null);
        fs::write(file, STANDARD.decode(reply.as_str().unwrap()).unwrap()).unwrap();
    }

    fn devtools(&self, method: &str, params: &Value) {
        self.command("goog/cdp/execute", &json!({ "cmd": method, "params": params }));
    }

    fn command(&self, name: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}/{name}", self.session), body)
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let reply = exchange(self.port, method, path, body).unwrap();
        let value = serde_json::from_slice::<Value>(&reply).unwrap()["value"].clone();
        assert!(
            value.get("error").is_none(),
            "{method} {path}: {}\n{}",
            value["error"],
            value["message"]
        );
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser with the session. It may be gone already, and the test has failed.
        let _ = exchange(self.port, "DELETE", &format!("/session/{}", self.session), &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn capabilities(profile: &Path) -> Value {
    let args = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        &format!("--user-data-dir={}", profile.display()),
    ];
    let options = json!({ "args": args, "binary": "/usr/bin/chromium" });
    json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } })
}

/// The port that the driver has taken, as it says; the rest is read away.
fn port_said(stdout: impl Read + Send + 'static) -> u16 {
    let (found, port) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Before that it says on which port it was told to start.
            let said = line.split_once("successfully on port ");
            let said = said.map(|(_, port)| port.trim_end_matches('.'));
            if let Some(Ok(port)) = said.map(str::parse) {
                // Nobody listens any more once the first was taken.
                let _ = found.send(port);
            }
        }
    });
    port.recv_timeout(PATIENCE).expect("chromedriver says where it listens")
}

/// One request to the driver, and the body of its reply.
fn exchange(port: u16, method: &str, path: &str, body: &Value) -> std::io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n\
         Content-Type: application/json\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes())?;
    socket.write_all(body.as_bytes())?;
    let mut reader = BufReader::new(socket);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
    }
    let mut reply = vec![0; length];
    reader.read_exact(&mut reply)?;
    Ok(reply)
}

/// A text that came as JSON.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
