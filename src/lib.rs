//! `shuzhiren`: a REST + WebSocket service in front of a fleet of ComfyUI instances, on Redis. This page is how it
//! works; the README is how to begin, `shuzhiren <command> --help` has every setting, `/docs` of a running system is
//! the API.
//!
//! 1. [What runs](#what-runs): the processes, and who talks to whom
//! 2. [The way of a task](#the-way-of-a-task): from a request to files, line by line
//! 3. [What is promised](#what-is-promised): nothing is lost, nothing runs twice, and under which durability of Redis
//! 4. [When something fails](#when-something-fails): each fault, what heals it, how long it takes
//! 5. [How it is proved](#how-it-is-proved): the model, the mutants, the faults, the referee
//! 6. [What it costs](#what-it-costs): what is measured, and how to measure it
//! 7. [Limits](#limits): what it does not do
//! 8. [The rooms](#the-rooms): where to find what, who may import whom, invariants
//!
//! # What runs
//!
//! ```text
//!  clients ──REST──▶ api ──enqueue.lua──▶ Redis ◀──claim · start · progress · finish── dispatcher ──HTTP + WS──▶ ComfyUI instances
//!     ▲                                    │  task hash = truth · stream + group = ledger            (any number)
//!     └──WebSocket── ws ◀──pub/sub─────────┘  sorted sets = order                                  └──bytes──▶ file store
//! ```
//!
//! * **api** ([`api`]) checks and enqueues, answers reads, and serves the page ([`dashboard`]). It never talks to
//!   ComfyUI.
//! * **dispatcher** ([`dispatcher`]) leases instances, claims tasks for free slots, drives ComfyUI ([`comfy`]) and
//!   stores what it makes ([`store`]). A spare one is idle.
//! * **ws** ([`ws`]) forwards what Redis publishes; it writes nothing. It lives in the api process unless told
//!   otherwise.
//! * **up** is all of them in one process on an owned child Redis ([`embedded`]), with stand-in instances ([`sim`])
//!   while no fleet is configured.
//! * **doctor** ([`doctor`]) looks at all of it and changes nothing. The client commands ([`cli`]) use the public API
//!   only.
//!
//! api, dispatcher and ws keep nothing of their own: run as many as you like against one `REDIS_URL`.
//!
//! # The way of a task
//!
//! **A request becomes a task.** A token becomes a caller ([`auth`]) · the body is parsed once into a workflow and
//! params · params, seeds and requirements are resolved ([`graph`]) · files at URLs are fetched ([`fetch`]) ·
//! `enqueue.lua` writes hash, indexes, stream entry and event in one step, idempotent and bounded ([`queue`]) · the
//! envelope.
//!
//! **A task becomes files.** The actor of an instance with a free slot runs `claim.lua` · uploads the inputs that the
//! instance lacks · looks up `/queue`, then `/history`, if an earlier POST is in doubt · `POST /prompt` with the prompt
//! id f(task, attempt) · `execution_start` → `start.lua` · progress, brought together → `progress.lua` · outputs go
//! into the store as soon as their node has ended → `output.lua` · the end is seen, history is read until it is there →
//! `finish.lua`, or `nack.lua` for another try. The slot is free before the bytes are stored.
//!
//! **News reaches a browser.** A script publishes (version, event) → one subscription per process → the hub → a bounded
//! outbox per session → the socket.
//!
//! # What is promised
//!
//! * A task that was answered with 200 is there until it is collected, and ends exactly once: completed, failed or
//!   cancelled.
//! * No prompt runs twice while its instance answers, whatever is killed, paused or cut off. Who writes is checked in
//!   Redis: each write of an attempt carries the instance's lease token and the attempt's number, and a stale one is
//!   refused.
//! * A cancel is final at once; cancel against completion has exactly one winner.
//! * The ending of a task reaches everybody who watches it ([`ws`]).
//!
//! "There" means as sure as Redis is: see [durability in `queue`](queue#durability). What is *not* promised: an
//! instance that is cut off for longer than `--gone-after` counts as dead, and its prompts run elsewhere, though it may
//! be working in the dark; a Redis that loses its data loses the tasks in it.
//!
//! # When something fails
//!
//! | what | then |
//! |---|---|
//! | a dispatcher is killed | its prompts run on; after its lease (15 s; at once on SIGTERM) another one takes its instances, finds the prompts by their ids and carries on: no second run, no attempt used |
//! | a dispatcher is paused, and wakes up | it was replaced; every write of it is refused |
//! | Redis is away | submits get 503, what runs goes on, results are recorded afterwards; however long it takes, nobody takes another's instances because of it |
//! | Redis restarts | leases begin anew, claims wait 3 s, dispatchers say again what ended last; what a weak durability forgot is found at the instances |
//! | an answer of Redis is lost | every script may be sent twice: the second time changes nothing |
//! | api or ws dies | clients connect to another; endings are replayed, or the client is told to read again |
//! | an instance dies under a task | the task runs elsewhere; under a second one, it has failed for good (`poison`): a graph must not take the fleet down |
//! | an instance is cut off | nothing is repeated until `--gone-after`; if it comes back within an hour with its queue, what was given up is dropped from it |
//! | an instance answers, but fails three runs in a row | paused for 1 s, then 2, 4 … 60 s (`phase` `suspect`) until a run ends well |
//! | a node raises, the graph is invalid | failed at once, with the node and its message: it would fail anywhere |
//! | anything of the infrastructure fails | tried again, elsewhere where there is an elsewhere, with growing pauses, `maxAttempts` times |
//! | an output breaks off, or trickles | fetched again; below 64 KiB/s over six HTTP timeouts it is given up |
//! | the store is full or away | uploads get 507 or 503; attempts are tried again |
//! | an index entry, the stream or its group is lost | rebuilt from the task hashes by the sweep |
//!
//! # How it is proved
//!
//! * A random model of clients, dispatchers, janitors and instances runs against the real scripts, with ground truth of
//!   its own (`tests/it/model`).
//! * Every script is broken on purpose, in one place after the other, and a test must go red (`tests/it/mutants`).
//! * Real processes are killed, paused and cut off under load; a referee that sees every prompt of every instance
//!   judges (`tests/it/faults`). `bin/test --soak 20` does it at random for twenty minutes; a seed repeats it.
//!
//! # What it costs
//!
//! `cargo bench` measures, as ratios against the barest server that could do the same on the same machine, and prints
//! what is wanted:
//!
//! | name | what | wanted |
//! |---|---|---|
//! | `submit` | `POST /api/tasks`, 2 KB, against one handler with one small script at Redis | at least 0.6 of it; p99 below 20 ms at 1,000 a second |
//! | `fanout` | deliveries to 1,000 sockets, against a bare loop | at least 0.8 of it; an idle socket below 20 KB |
//! | `list` | `GET /api/tasks` at a million tasks, at any offset | p99 below 5 ms |
//! | `gap` | from a prompt's end to the next POST at the same instance | a median below 10 ms |
//! | `idle` | a dispatcher with nothing to do | below 2 % of a core |
//! | `params` | 60 params into 300 nodes | below 1 ms |
//!
//! # Limits
//!
//! One namespace lives on one Redis primary: some thousands of tasks per second; beyond that, several namespaces. Files
//! are on a disk that api and dispatcher share, or in a bucket. There is one administrator. TLS is the work of a proxy
//! in front. A prompt that is queued inside an instance (`--slots 2`) dies with it and is run again elsewhere. After a
//! `kill -9` of `up` its own leases must run out before it dispatches again. Not defended against: whoever can write to
//! Redis, and hostile nodes on the machine of an instance.
//!
//! # The rooms
//!
//! | room | what |
//! |---|---|
//! | [`task`], [`event`], [`fleet`] | the nouns: a task and its attempts, what happened to it, servers and instances |
//! | [`queue`] | Redis: keys, scripts, verbs, leases, healing; promises and durability |
//! | [`comfy`] | ComfyUI as it really behaves: client, socket, outcome from history |
//! | [`graph`] | a workflow as a value: parse, params, what it requires |
//! | [`store`], [`media`], [`fetch`] | bytes: where they are, what is in them, files from the web |
//! | [`auth`] | passwords, tokens, callers |
//! | [`api`], [`ws`], [`dashboard`] | the front: REST and its document, WebSocket, page |
//! | [`dispatcher`] | one actor per instance; health and scheduling |
//! | [`doctor`], [`embedded`], [`sim`], [`cli`] | the doctor, the owned Redis, the stand-in ComfyUI, the client commands |
//! | [`save_file`] | files saved whole or not at all, over regular files only |
//! | [`settings`], [`metrics`], [`process`], [`trace`] | every flag and limit, every metric, what a process owes its operator, spans for OpenTelemetry |
//!
//! Layers: `bin` → `api | ws | dashboard | dispatcher | doctor | sim | embedded | cli` (never one another) → `queue,
//! comfy, store, auth, graph, fetch, media` → `task, event, fleet` → `save_file`. For all: `settings, metrics, process,
//! trace`. Tests hold this.
//!
//! Invariants: (1) api never talks to ComfyUI, and to the web through `fetch` only; ws writes nothing. (2) A task's
//! state changes only in `lua/`. (3) Every write of an attempt carries (instance, token, attempt); stale ones are
//! refused in Lua. (4) Event and state change are one script. (5) Terminal is terminal. (6) Wire forms never leave
//! their room. (7) Every queue, channel, retry, body and wait has a named limit. (8) Numbers of a workflow are never
//! re-encoded.

pub mod api;
pub mod auth;
pub mod cli;
mod clock;
pub mod comfy;
pub mod dashboard;
pub mod dispatcher;
pub mod doctor;
pub mod embedded;
pub mod event;
pub mod fetch;
pub mod fleet;
pub mod graph;
pub mod media;
pub mod metrics;
pub mod process;
pub mod queue;
pub mod save_file;
pub mod settings;
pub mod sim;
pub mod store;
pub mod submit;
pub mod task;
pub mod trace;
pub mod ws;
