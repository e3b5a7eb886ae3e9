//! Sampling of traces: a function of the task's id, so that all processes decide alike.
//!
//! The sampler of the SDK is unsuitable: it takes the last 63 bits of a trace id as random, but they contain a UUID's
//! variant. It would sample no task for a share of a tenth, and all for nine tenths.

use crate::task::TaskId;

/// Sampler of a share of all tasks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sampler {
    /// Share, 0–1.
    share: f64,
}

impl Sampler {
    /// Makes the sampler of `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`. Our spans have no remote parents, so
    /// `parentbased_…` equals the sampler named after it.
    ///
    /// # Errors
    /// A message about an invalid variable.
    pub(super) fn new(name: Option<&str>, arg: Option<&str>) -> Result<Self, String> {
        let name = name.unwrap_or("parentbased_always_on");
        let share = match name.strip_prefix("parentbased_").unwrap_or(name) {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => arg
                .unwrap_or("1")
                .parse()
                .ok()
                .filter(|share| (0.0..=1.0).contains(share))
                .ok_or("OTEL_TRACES_SAMPLER_ARG is not a number from 0 to 1")?,
            _ => return Err(format!("unknown OTEL_TRACES_SAMPLER `{name}`")),
        };
        Ok(Self { share })
    }

    /// Whether this task is traced.
    pub(super) fn takes(self, task: TaskId) -> bool {
        // An f64 holds 53 bits exactly.
        let place = (mixed(task.bits()) >> 11) as f64 / (1_u64 << 53) as f64;
        place < self.share
    }
}

/// Mixes every bit of the id into every bit of the result (the finalizer of splitmix64): tasks of a batch differ only
/// in their last bytes.
fn mixed(id: u128) -> u64 {
    let [high, low] = [id >> 64, id].map(|half| half as u64);
    let mut word = high ^ low.rotate_left(32);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::Sampler;
    use crate::task::{BatchId, TaskId};

    fn share(sampler: Sampler, tasks: impl Iterator<Item = TaskId>) -> f64 {
        let (mut taken, mut all) = (0.0, 0.0);
        for task in tasks {
            taken += f64::from(u8::from(sampler.takes(task)));
            all += 1.0;
        }
        taken / all
    }

    #[test]
    fn the_share_holds_for_all_tasks_and_for_those_of_a_batch() {
        let sampler = Sampler::new(Some("parentbased_traceidratio"), Some("0.1")).unwrap();
        let batch = BatchId::new();
        for found in
            [share(sampler, (0..10_000).map(|_| TaskId::new())), share(sampler, (0..10_000).map(|i| batch.task(i)))]
        {
            assert!((0.08..0.12).contains(&found), "{found}");
        }
    }

    #[test]
    fn always_on_and_always_off_are_exact() {
        let tasks = || (0..1_000).map(|_| TaskId::new());
        for (name, arg, expected) in [
            (None, None, 1.0),
            (Some("always_on"), Some("0"), 1.0),
            (Some("traceidratio"), None, 1.0),
            (Some("traceidratio"), Some("1"), 1.0),
            (Some("traceidratio"), Some("0"), 0.0),
            (Some("parentbased_always_off"), None, 0.0),
        ] {
            assert_eq!(share(Sampler::new(name, arg).unwrap(), tasks()), expected, "{name:?} {arg:?}");
        }
        for (name, arg) in [("jaeger_remote", None), ("traceidratio", Some("2")), ("traceidratio", Some("NaN"))] {
            assert!(Sampler::new(Some(name), arg).is_err(), "{name} {arg:?}");
        }
    }
}
