//! Options of a stand-in, from code and from the command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// ComfyUI version to imitate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Mode {
    /// ComfyUI 0.3.64: any prompt id, no jobs API.
    #[default]
    #[value(name = "0.3")]
    V03,
    /// ComfyUI 0.38.1: canonical UUIDs, `/api/jobs`, cancel.
    #[value(name = "0.38")]
    V038,
}

/// Caching strategy: the results that a prompt may reuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Caching {
    /// Results of the last prompt (`classic`, the default of 0.3).
    #[default]
    Classic,
    /// Results of the last N nodes (`--cache-lru`).
    Lru(usize),
    /// No results (`--cache-none`).
    None,
}

/// Options of a stand-in.
#[derive(Debug, Clone)]
pub struct SimOptions {
    /// Address to listen on. Port 0 takes a free one and keeps it across restarts.
    pub listen: SocketAddr,
    /// Version to imitate.
    pub mode: Mode,
    /// Folder for `input/`, `output/` and `temp/`; `None` keeps files in memory. Inputs and outputs survive a restart
    /// either way.
    pub data: Option<PathBuf>,
    /// Time between the message execution_success and the entry in the history.
    pub success_gap: Duration,
    /// Divisor of the seconds that nodes take.
    pub speed: f64,
    /// Time per step of the samplers.
    pub step: Duration,
    /// Whether samplers send preview pictures (`--preview-method`).
    pub previews: bool,
    /// Caching strategy.
    pub caching: Caching,
    /// Largest request body, bytes.
    pub upload_bytes_max: usize,
    /// Model files in addition to the built-in ones, accepted in every model folder.
    pub models: Vec<String>,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            mode: Mode::V03,
            data: None,
            success_gap: Duration::from_millis(2),
            speed: 1.0,
            step: Duration::from_millis(10),
            previews: false,
            caching: Caching::Classic,
            upload_bytes_max: 100 << 20,
            models: Vec::new(),
        }
    }
}

/// Flags of `shuzhiren sim`.
#[derive(Debug, Clone, clap::Args)]
pub struct SimSettings {
    /// Address to listen on.
    #[arg(long, env = "SHUZHIREN_SIM_LISTEN", default_value = "127.0.0.1:8188")]
    pub listen: SocketAddr,
    /// ComfyUI version to imitate.
    #[arg(long, env = "SHUZHIREN_SIM_MODE", value_enum, default_value_t = Mode::V03)]
    pub mode: Mode,
    /// Folder for input, output and temp files, e.g. /tmp/sim [default: they are kept in memory, at most 512 MiB].
    #[arg(long, env = "SHUZHIREN_SIM_DATA")]
    pub data: Option<PathBuf>,
    /// Milliseconds between the message execution_success and the entry in the history.
    #[arg(long, env = "SHUZHIREN_SIM_SUCCESS_GAP", default_value_t = 2, value_parser = clap::value_parser!(u64).range(..=60_000))]
    pub success_gap: u64,
    /// Divides the seconds that nodes take: 10 is ten times faster.
    #[arg(long, env = "SHUZHIREN_SIM_SPEED", default_value_t = 1.0, value_parser = speed)]
    pub speed: f64,
    /// Milliseconds per step of the samplers.
    #[arg(long, env = "SHUZHIREN_SIM_STEP", default_value_t = 100, value_parser = clap::value_parser!(u64).range(..=600_000))]
    pub step: u64,
    /// Samplers send preview pictures.
    #[arg(long, env = "SHUZHIREN_SIM_PREVIEWS")]
    pub previews: bool,
    /// More model files, comma separated, accepted in every model folder, e.g. sdxl.safetensors,wan.safetensors.
    #[arg(long, env = "SHUZHIREN_SIM_MODELS", value_delimiter = ',')]
    pub models: Vec<String>,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.001..=1_000_000.0).contains(&speed) => Ok(speed),
        _ => Err("a number from 0.001 to 1000000".to_owned()),
    }
}

impl From<SimSettings> for SimOptions {
    fn from(settings: SimSettings) -> Self {
        Self {
            listen: settings.listen,
            mode: settings.mode,
            data: settings.data,
            success_gap: Duration::from_millis(settings.success_gap),
            speed: settings.speed,
            step: Duration::from_millis(settings.step),
            previews: settings.previews,
            models: settings.models,
            ..Self::default()
        }
    }
}
