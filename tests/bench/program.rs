//! Child processes: the program, and this binary in another role.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub const KEY: &str = "a key of the benches that is long enough";
pub const PASSWORD: &str = "the password of the benches";
/// Clock ticks per second in `/proc/<pid>/stat`: 100 on all current Linux systems.
const TICKS_PER_SECOND: f64 = 100.0;

/// A child process. Dropping it kills it.
pub struct Program {
    child: Child,
    pub address: SocketAddr,
}

impl Program {
    /// Starts `shuzhiren <role>` on a free port and waits until it is listening.
    pub fn start(role: &str, environment: &[(&str, String)]) -> Self {
        Self::launch(Command::new(binary()).arg(role), environment)
    }

    /// Starts this binary in another role and waits until it is listening.
    pub fn in_role(role: &str, environment: &[(&str, String)]) -> Self {
        Self::launch(Command::new(std::env::current_exe().unwrap()).args(["--role", role]), environment)
    }

    /// Starts `shuzhiren <role>` without waiting.
    pub fn background(role: &str, environment: &[(&str, String)]) -> Self {
        let mut command = Command::new(binary());
        Self::spawn(command.arg(role), environment)
    }

    fn launch(command: &mut Command, environment: &[(&str, String)]) -> Self {
        let mut program = Self::spawn(command, environment);
        let give_up = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(program.address).is_err() {
            if let Some(status) = program.child.try_wait().unwrap() {
                panic!("{command:?} exited with {status} before it was listening");
            }
            assert!(Instant::now() < give_up, "{command:?} is not listening in time");
            std::thread::sleep(Duration::from_millis(20));
        }
        program
    }

    fn spawn(command: &mut Command, environment: &[(&str, String)]) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = command
            .envs(environment.iter().map(|(name, value)| (*name, value.as_str())))
            .env("SHUZHIREN_LISTEN", address.to_string())
            .env("SHUZHIREN_SIM_LISTEN", address.to_string())
            .env("SHUZHIREN_ADMIN_PASSWORD", PASSWORD)
            .env("SHUZHIREN_JWT_SECRET", KEY)
            .env("SHUZHIREN_LOG", "warn")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address }
    }

    /// Returns resident memory, bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
    }

    /// Returns CPU time used so far, user and system.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name may contain spaces: fields are counted from its closing bracket.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
        Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Returns the program to be measured.
fn binary() -> String {
    std::env::var("SHUZHIREN_BENCH_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_shuzhiren").to_owned())
}

/// Returns a token that every role accepts, because all share the key.
pub async fn token() -> String {
    auth().login("admin", PASSWORD).await.unwrap().token
}

pub fn auth() -> shuzhiren::auth::Auth {
    shuzhiren::auth::Auth::new(&shuzhiren::settings::AuthSettings {
        admin_username: "admin".to_owned(),
        admin_password: Some(shuzhiren::settings::Secret::new(PASSWORD)),
        admin_password_file: None,
        jwt_secret: Some(shuzhiren::settings::Secret::new(KEY)),
        jwt_secret_file: None,
        token_ttl: Duration::from_secs(3_600),
    })
}

/// Sorted durations, for percentiles.
pub struct Times(Vec<Duration>);

impl Times {
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns a percentile, ms.
    pub fn percentile(&self, percent: f64) -> f64 {
        let last = self.0.len().checked_sub(1).expect("something was measured");
        self.0[(last as f64 * percent / 100.0).round() as usize].as_secs_f64() * 1_000.0
    }
}
