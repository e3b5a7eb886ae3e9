//! The store: that files can be written and read here, that there is room, and whose files they are.

use super::{Finding, Report};
use crate::{
    settings::StorageSettings,
    store::{Error, Keys, Store},
};

/// Less room than this stops the first large upload.
const FREE_BYTES_MIN: u64 = 100 << 20;
/// Less room than this is for today.
const FREE_BYTES_LOW: u64 = 5 << 30;

/// Looks at it. `installation` is what Redis calls the system, if that is known.
pub(super) async fn examine(
    settings: &StorageSettings,
    keys: Option<&Keys>,
    installation: Option<&str>,
    report: &mut Report,
) {
    let Some(url) = &settings.storage_url else {
        report.push(Finding::fail(
            "store",
            "SHUZHIREN_STORAGE_URL is not set",
            "set it to the same place for every api and dispatcher, e.g. file:///srv/shuzhiren/files",
        ));
        return;
    };
    let store = match Store::peek(url, keys).await {
        Ok(store) => store,
        Err(Error::NotFound) => {
            report.push(Finding::warn(
                "store",
                format!("there is nothing at {url} yet"),
                "the first api or dispatcher makes the folder if its user may; if it is a mount, mount it first",
            ));
            return;
        }
        Err(error) => {
            report.push(Finding::fail(
                "store",
                error.to_string(),
                "correct SHUZHIREN_STORAGE_URL, or the folder's rights",
            ));
            return;
        }
    };
    report.push(match store.probe().await {
        Ok(took) => Finding::ok(
            "store",
            format!("{url}: written, read and deleted a file in {:.1} ms", took.as_secs_f64() * 1e3),
        ),
        Err(error @ Error::Full) => Finding::fail("store", error.to_string(), "make room, or raise the quota"),
        Err(error) => Finding::fail(
            "store",
            error.to_string(),
            "let the user of the roles write there (chown, the mount's options; for a bucket the key's rights), and run doctor as that user",
        ),
    });
    match store.space() {
        Ok(Some(space)) => {
            let found = format!("{} GB of {} GB are free", space.free / 1_000_000_000, space.total / 1_000_000_000);
            report.push(if space.free < FREE_BYTES_MIN {
                Finding::fail(
                    "store.space",
                    found,
                    "make room: uploads get 507, and runs are repeated until outputs fit",
                )
            } else if space.free < FREE_BYTES_LOW {
                Finding::warn(
                    "store.space",
                    found,
                    "make room, or lower SHUZHIREN_KEEP_TASKS: outputs go with their tasks",
                )
            } else {
                Finding::ok("store.space", found)
            });
        }
        Ok(None) => {}
        Err(error) => report.push(Finding::warn("store.space", error.to_string(), "look at the disk (df)")),
    }
    report.push(owner(&store, installation).await);
}

async fn owner(store: &Store, installation: Option<&str>) -> Finding {
    const CHECK: &str = "store.installation";
    match (store.installation().await, installation) {
        (Err(error), _) => Finding::fail(CHECK, error.to_string(), "look at the file `installation` of the store"),
        (Ok(None), _) => Finding::ok(CHECK, "nobody's yet"),
        (Ok(Some(mark)), None) => {
            Finding::skip(CHECK, format!("the files are those of {mark}; Redis does not say whose it is"))
        }
        (Ok(Some(mark)), Some(ours)) if mark == ours => Finding::ok(CHECK, "the files are those of this system"),
        (Ok(Some(mark)), Some(ours)) => Finding::warn(
            CHECK,
            format!("the files are those of {mark}, Redis is that of {ours}"),
            "correct SHUZHIREN_STORAGE_URL, REDIS_URL or SHUZHIREN_NAMESPACE; if Redis was lost, no file is deleted until you remove \
             the file `installation`",
        ),
    }
}
