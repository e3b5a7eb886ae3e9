//! The fault suite: real processes are killed, paused and restarted, links are broken, instances die; afterwards a referee
//! checks that nothing was lost and nothing ran twice, judged by what the stand-ins executed, by every API process, by
//! observers of the whole scenario and by Redis itself (shared page safety.md §4, queue.md §4).
//!
//! `stage` has the processes and their links, `load` the clients that post and never forget, `watch` the observers, `runs`
//! what the stand-ins did, `referee` the verdict; each other file is a scenario's home. `soak` mixes all faults at random.

mod apis;
mod backlog;
mod dispatchers;
mod havoc;
mod instances;
mod links;
mod load;
mod member;
mod outages;
mod referee;
mod runs;
mod shares;
mod soak;
mod stage;
mod storm;
mod takeover;
mod watch;
