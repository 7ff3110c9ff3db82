//! A registry inside the test's own process.

use std::sync::Arc;

use registry_core::{
    Builder, Registry, ServeError,
    api::{App, Listener, Server, Settings},
};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{Client, within};

/// A registry on a free port of 127.0.0.1, served by the test's own runtime. Dropping it stops it at once;
/// [`stop`](Self::stop) lets what runs finish.
#[derive(Debug)]
pub struct TestRegistry {
    url: String,
    app: Arc<App>,
    server: Arc<Server>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServeError>>,
    folder: Option<TempDir>,
}

impl TestRegistry {
    /// In memory, deletion allowed.
    ///
    /// # Panics
    /// If it can not be started, as the others here.
    pub async fn start() -> TestRegistry {
        TestRegistry::with(|builder| builder).await
    }

    /// In memory, with settings.
    pub async fn with_settings(settings: Settings) -> TestRegistry {
        TestRegistry::with(|builder| builder.settings(settings)).await
    }

    /// In memory, with whatever else can be chosen.
    pub async fn with(choose: impl FnOnce(Builder) -> Builder) -> TestRegistry {
        TestRegistry::open(choose(Registry::builder().settings(TestRegistry::settings())), None).await
    }

    /// On a temporary folder, with whatever else can be chosen.
    pub async fn on_disk(choose: impl FnOnce(Builder) -> Builder) -> TestRegistry {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let builder = Registry::builder().filesystem(folder.path()).settings(TestRegistry::settings());
        TestRegistry::open(choose(builder), Some(folder)).await
    }

    /// The settings that tests begin from: the defaults, deletion allowed.
    pub fn settings() -> Settings {
        Settings::default().delete_enabled(true).access_log(false)
    }

    async fn open(builder: Builder, folder: Option<TempDir>) -> TestRegistry {
        let registry = builder.open().await.expect("the registry can be opened");
        let listener = Listener::tcp("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.address().expect("a listener has an address");
        let (app, server) = (registry.app().clone(), registry.server().clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            // Sent or dropped: both mean the stop.
            let _ = stopped.await;
        };
        let task = tokio::spawn(registry.serve(listener, shutdown));
        TestRegistry { url: format!("http://{address}"), app, server, stop: Some(stop), task, folder }
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// A client for it.
    pub fn client(&self) -> Client {
        Client::new(&self.url)
    }

    /// Its parts, to look at or to put something into.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// What serves it.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Where its data lies.
    ///
    /// # Panics
    /// If it lives in memory.
    pub fn data(&self) -> &std::path::Path {
        self.folder.as_ref().expect("the registry is on disk").path()
    }

    /// Stops it as an operator does, and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        within("the registry stops", &mut self.task)
            .await
            .expect("the registry does not panic")
            .expect("the registry is told to stop");
    }
}

impl Drop for TestRegistry {
    fn drop(&mut self) {
        self.task.abort();
    }
}
