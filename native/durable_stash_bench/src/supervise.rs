//! One workload in a process of its own, which may crash or hang.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The error says how it ended.
pub(crate) fn measure(quick: bool, figures: &Path, server: &Path, name: &str) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.arg("one").arg(figures).arg(server).arg(name).args(quick.then_some("--quick"));
    ends_well(command, LONGEST)
}

fn ends_well(mut command: Command, longest: Duration) -> Result<(), String> {
    let mut child = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("did not start: {error}"))?;
    // Passed on line by line; the last one is the reason if it fails.
    let stderr = child.stderr.take().map(BufReader::new);
    let reader = std::thread::spawn(move || {
        let lines = stderr.into_iter().flat_map(BufRead::lines).map_while(Result::ok);
        lines.inspect(|line| eprintln!("{line}")).last()
    });
    let Some(status) = wait(&mut child, longest).map_err(|error| error.to_string())? else {
        return Err(format!("not done within {} s", longest.as_secs()));
    };
    let last = reader.join().unwrap_or_default().unwrap_or_default();
    if status.success() { Ok(()) } else { Err(format!("{status}: {last}")) }
}

/// None when it had to be ended.
fn wait(child: &mut Child, longest: Duration) -> std::io::Result<Option<std::process::ExitStatus>> {
    let began = Instant::now();
    while began.elapsed() < longest {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// The longest workload takes about three minutes.
const LONGEST: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_workload_that_crashes_gives_its_last_words_and_one_that_hangs_is_ended() {
        assert_eq!(ends_well(shell("exit 0"), LONGEST), Ok(()));
        let crash = ends_well(shell("echo first >&2; echo 'the store is gone' >&2; exit 3"), LONGEST).unwrap_err();
        assert!(crash.contains("3: the store is gone"), "{crash}");
        let began = Instant::now();
        let hang = ends_well(shell("exec sleep 60"), Duration::from_millis(100)).unwrap_err();
        assert!(hang.contains("not done within"), "{hang}");
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
