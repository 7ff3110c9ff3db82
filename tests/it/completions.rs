//! The scripts with which shells complete the command line.

use std::process::Command;

use registry_testing::{Program, ServerOptions};

async fn script(shell: &str) -> String {
    let run = ServerOptions::new().run(Program::Registry, &["completions", shell]).await;
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

#[tokio::test]
async fn each_shell_gets_a_script_that_knows_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = script(shell).await;
        for known in ["garbage-collect", "accept-older-database", "hash-password"] {
            assert!(script.contains(known), "{shell}: {known} is not in\n{script}");
        }
    }
}

/// As bash does when the tab key is pressed.
#[tokio::test]
async fn bash_completes_commands_and_options() {
    let script = script("bash").await;
    for (typed, expected) in
        [("garb", "garbage-collect"), ("jobs rep", "replay"), ("fsck --accept", "--accept-older-database")]
    {
        let words: Vec<_> = typed.split(' ').collect();
        let (last, count) = (words[words.len() - 1], words.len());
        let ask = format!(
            "{script}\nCOMP_WORDS=(registry {typed}); COMP_CWORD={count}; _registry registry '{last}' x; echo \"${{COMPREPLY[*]}}\""
        );
        let output = Command::new("bash").args(["-c", &ask]).output().unwrap();
        let (said, failed) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(said.trim(), expected, "{typed}: {failed}");
    }
}
