//! What upstreams are shown.

use std::{
    fmt,
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use registry_types::Secret;
use serde::Deserialize;
use tokio::{io::AsyncWriteExt, process::Command, sync::Mutex};

use crate::error::UpstreamError;

/// How long a credential helper may run.
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer of a credential helper, in bytes.
const HELPER_ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What an upstream is shown. `Debug` shows no secret.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Nothing.
    #[default]
    None,
    /// A user and a password.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// An identity token, which the token server takes for a refresh token.
    Token(Secret),
    /// What a program answers.
    Helper(Helper),
}

/// A program that gives credentials, by docker's protocol for credential helpers. Clones share what it answered.
#[derive(Clone)]
pub struct Helper {
    command: PathBuf,
    /// How long an answer counts; for ever if none.
    lifetime: Option<Duration>,
    answer: Arc<Mutex<Option<(Instant, Login)>>>,
}

impl fmt::Debug for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Helper").field("command", &self.command).finish_non_exhaustive()
    }
}

/// What is shown at last.
#[derive(Clone)]
pub(crate) enum Login {
    Password { username: String, password: String },
    Token(String),
}

/// What the user is called where the secret is an identity token. Spec: docker's credential helpers.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl Helper {
    /// Runs a program when credentials are needed; an answer counts for `lifetime`, and for ever without one.
    pub fn new(command: PathBuf, lifetime: Option<Duration>) -> Helper {
        Helper { command, lifetime, answer: Arc::default() }
    }

    async fn login(&self, server: &str) -> Result<Login, UpstreamError> {
        let mut answer = self.answer.lock().await;
        if let Some((at, login)) = &*answer
            && self.lifetime.is_none_or(|lifetime| at.elapsed() < lifetime)
        {
            return Ok(login.clone());
        }
        let timed_out =
            |_| UpstreamError::Helper(format!("it ran for more than {} s", HELPER_TIMEOUT.as_secs()));
        let login = tokio::time::timeout(HELPER_TIMEOUT, self.run(server)).await.map_err(timed_out)??;
        *answer = Some((Instant::now(), login.clone()));
        Ok(login)
    }

    /// `get`, the server on standard input, JSON on standard output.
    async fn run(&self, server: &str) -> Result<Login, UpstreamError> {
        let failed = |error: std::io::Error| UpstreamError::Helper(error.to_string());
        let mut command = Command::new(&self.command);
        command
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(format!("{server}\n").as_bytes()).await.map_err(failed)?;
        }
        let output = child.wait_with_output().await.map_err(failed)?;
        if !output.status.success() || output.stdout.len() > HELPER_ANSWER_BYTES_MAX {
            return Err(UpstreamError::Helper(format!("it ended with {}", output.status)));
        }
        let no_answer = |_| UpstreamError::Helper("it gave no credentials".to_owned());
        let Answer { username, secret } = serde_json::from_slice(&output.stdout).map_err(no_answer)?;
        Ok(match username.as_str() {
            TOKEN_USER => Login::Token(secret),
            _ => Login::Password { username, password: secret },
        })
    }
}

impl Credentials {
    /// What is shown to the upstream at this URL.
    pub(crate) async fn login(&self, server: &str) -> Result<Option<Login>, UpstreamError> {
        Ok(match self {
            Credentials::None => None,
            Credentials::Password { username, password } => {
                Some(Login::Password { username: username.clone(), password: password.expose().to_owned() })
            }
            Credentials::Token(token) => Some(Login::Token(token.expose().to_owned())),
            Credentials::Helper(helper) => Some(helper.login(server).await?),
        })
    }
}
