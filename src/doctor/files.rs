//! Checks of the store: whether files can be written and read here, whether there is space, and which system owns the
//! files.

use super::{Finding, Report};
use crate::{
    settings::StorageSettings,
    store::{Error, Keys, Store},
};

/// Free space besides the reserve below which the disk will soon be full, bytes.
const FREE_BYTES_LOW: u64 = 5 << 30;

/// Checks the store. `installation` is the system's name in Redis, if known.
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
                format!("{url} does not exist yet"),
                "the first api or dispatcher creates the folder if its user may; if it is a mount, mount it first",
            ));
            return;
        }
        Err(error) => {
            report.push(Finding::fail(
                "store",
                error.to_string(),
                "correct SHUZHIREN_STORAGE_URL, or the folder's permissions",
            ));
            return;
        }
    };
    report.push(match store.probe().await {
        Ok(took) => Finding::ok(
            "store",
            format!("{url}: written, read and deleted a file in {:.1} ms", took.as_secs_f64() * 1e3),
        ),
        Err(error @ Error::Full) => Finding::fail("store", error.to_string(), "free some space, or raise the quota"),
        Err(error) => Finding::fail(
            "store",
            error.to_string(),
            "let the user of the roles write there (chown, mount options; for a bucket the key's permissions), and run doctor as that user",
        ),
    });
    match store.space() {
        Ok(Some(space)) => {
            let reserve = settings.disk_reserve.bytes(space.total);
            let gb = |bytes| format!("{} GB", bytes / 1_000_000_000);
            let found = format!("{} of {} are free, {} are reserved", gb(space.free), gb(space.total), gb(reserve));
            report.push(if space.free < reserve {
                Finding::fail(
                    "store.space",
                    found,
                    "free some space, or lower SHUZHIREN_DISK_RESERVE: uploads fail with 507, and no task starts",
                )
            } else if space.free - reserve < FREE_BYTES_LOW {
                Finding::warn(
                    "store.space",
                    found,
                    "free some space, lower SHUZHIREN_KEEP_TASKS (outputs are deleted with their tasks), or set SHUZHIREN_KEEP_BYTES",
                )
            } else {
                Finding::ok("store.space", found)
            });
        }
        Ok(None) => {}
        Err(error) => report.push(Finding::warn("store.space", error.to_string(), "check the disk (df)")),
    }
    report.push(owner(&store, installation).await);
}

async fn owner(store: &Store, installation: Option<&str>) -> Finding {
    const CHECK: &str = "store.installation";
    match (store.installation().await, installation) {
        (Err(error), _) => Finding::fail(CHECK, error.to_string(), "check the file `installation` of the store"),
        (Ok(None), _) => Finding::ok(CHECK, "not used by any system yet"),
        (Ok(Some(mark)), None) => Finding::warn(
            CHECK,
            format!("the files belong to system {mark}; Redis holds no system, or cannot be asked"),
            "if Redis was emptied, restore its data before you start a process: the first one begins an empty system",
        ),
        (Ok(Some(mark)), Some(ours)) if mark == ours => Finding::ok(CHECK, "the files belong to this system"),
        (Ok(Some(mark)), Some(ours)) => Finding::warn(
            CHECK,
            format!("the files belong to system {mark}, Redis to system {ours}"),
            "correct SHUZHIREN_STORAGE_URL, REDIS_URL or SHUZHIREN_NAMESPACE; if Redis was lost, no file is deleted until you remove \
             the file `installation`",
        ),
    }
}
