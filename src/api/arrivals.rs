//! Files that come with a submit, inside it or from a URL: there and registered before their task, or not at all.

use super::{ApiState, draft::Draft, error::Result, inline, remote, routes::upload};
use crate::{auth::Caller, task::FileId};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Files without a task yet: taken back when this is dropped, because a client may go away at any moment.
pub(super) struct Arrivals {
    state: ApiState,
    ids: Vec<FileId>,
}

/// Stores what came with the draft, and names it there. A repetition's files are there already.
pub(super) async fn bring(
    state: &ApiState,
    caller: &Caller,
    draft: &mut Draft,
    is_repetition: bool,
) -> Result<Arrivals> {
    let mut arrivals = Arrivals { state: state.clone(), ids: Vec::new() };
    let wanted = std::mem::take(&mut draft.remote);
    if is_repetition {
        draft.files.extend(remote::stand_ins(&wanted));
    } else {
        // What takes longest comes first, while nothing is visible yet.
        for remote::Fetched { received, inputs, .. } in remote::fetch(state, wanted).await? {
            arrivals.ids.push(received.id);
            upload::register(state, caller.clone(), received).await?;
            draft.files.extend(inputs);
        }
    }
    if !draft.inline.is_empty() {
        let files = std::mem::take(&mut draft.inline);
        let params = std::mem::take(&mut draft.params);
        let (stored, params) = Box::pin(inline::store(state, caller, files, params)).await?;
        arrivals.ids.extend(stored.iter().map(|input| input.file_id));
        draft.params = params;
        draft.files.extend(stored);
    }
    Ok(arrivals)
}

/// What came for all tasks of a batch together, each file once.
pub(super) struct Together {
    pub(super) arrivals: Arrivals,
    /// By URL, as written.
    pub(super) fetched: HashMap<String, FileId>,
    /// The text that was given, with `{"$file":…}` in the place of what came inside of it.
    pub(super) text: Box<RawValue>,
}

/// Stores what comes for a batch, whose params and sweep are `text`.
pub(super) async fn bring_together(
    state: &ApiState,
    caller: &Caller,
    wanted: Vec<remote::Wanted>,
    inline: Vec<inline::Decoded>,
    text: Box<RawValue>,
) -> Result<Together> {
    let mut arrivals = Arrivals { state: state.clone(), ids: Vec::new() };
    let mut fetched = HashMap::new();
    for remote::Fetched { received, urls, .. } in remote::fetch(state, wanted).await? {
        arrivals.ids.push(received.id);
        fetched.extend(urls.into_iter().map(|url| (url, received.id)));
        upload::register(state, caller.clone(), received).await?;
    }
    let (stored, text) = Box::pin(inline::store(state, caller, inline, text)).await?;
    arrivals.ids.extend(stored.iter().map(|input| input.file_id));
    Ok(Together { arrivals, fetched, text })
}

impl Arrivals {
    /// They have a task now.
    pub(super) fn keep(mut self) {
        self.ids.clear();
    }

    /// Deletes those that no task needs.
    pub(super) async fn take_back(mut self) {
        take_back(&self.state, &std::mem::take(&mut self.ids)).await;
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        let ids = std::mem::take(&mut self.ids);
        if !ids.is_empty()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let state = self.state.clone();
            runtime.spawn(async move { take_back(&state, &ids).await });
        }
    }
}

async fn take_back(state: &ApiState, ids: &[FileId]) {
    for id in ids {
        upload::take_back(state, *id).await;
    }
}
