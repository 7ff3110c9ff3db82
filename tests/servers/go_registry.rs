//! The Go registry, as a program that runs while a test needs it.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use registry_testing::{Client, eventually, free_port};

/// The Go registry, until it is dropped.
pub(crate) struct GoRegistry {
    process: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl GoRegistry {
    /// Starts `go-registry` (version 3) or `docker-registry` (version 2, Debian's) with these keys beside the common ones.
    pub(crate) async fn start(program: &str, config: &str) -> GoRegistry {
        GoRegistry::start_over(program, "inmemory: {}", config).await
    }

    /// The same, with its data in a folder.
    pub(crate) async fn start_in(program: &str, root: &Path) -> GoRegistry {
        let storage = format!("filesystem: {{rootdirectory: {:?}}}", root.display().to_string());
        GoRegistry::start_over(program, &storage, "").await
    }

    /// The same, with its data where a section of its configuration says.
    pub(crate) async fn start_over(program: &str, storage: &str, config: &str) -> GoRegistry {
        let folder = tempfile::tempdir().unwrap();
        let (port, path) = (free_port(), folder.path().join("config.yml"));
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{{storage}, delete: {{enabled: true}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"}}\n{config}"
        );
        fs::write(&path, text).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(program)
            .args(["serve".as_ref(), path.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("`tests/setup clients registries` installs it, and its folder is on the PATH");
        let go = GoRegistry { process, url: format!("http://127.0.0.1:{port}"), _folder: folder };
        let client = Client::new(&go.url);
        eventually("the Go registry answers", async || client.get("/v2/").send().await.ok().map(drop)).await;
        go
    }

    /// Where it serves.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for GoRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
