//! `shuzhiren`: a REST + WebSocket service in front of a fleet of ComfyUI instances, on Redis. This page explains how it
//! works. Start with the README to use it; `shuzhiren <command> --help` lists every setting, and `/docs` of a running
//! system is the API.
//!
//! 1. [Processes](#processes): what runs, and who talks to whom
//! 2. [The way of a task](#the-way-of-a-task): from a request to files, step by step
//! 3. [Promises](#promises): nothing is lost, nothing runs twice, and under which durability of Redis
//! 4. [Faults](#faults): each fault, what heals it, how long it takes
//! 5. [Proof](#proof): the model, the mutants, the faults, the referee
//! 6. [Cost](#cost): what is measured, and how to measure it
//! 7. [Limits](#limits): what it does not do
//! 8. [Rooms](#rooms): where to find what, who may import whom, invariants
//! 9. [To change X, go to Y](#to-change-x-go-to-y)
//!
//! # Processes
//!
//! ```text
//!  clients ──REST──▶ api ──enqueue.lua──▶ Redis ◀──claim · start · progress · finish── dispatcher ──HTTP + WS──▶ ComfyUI instances
//!     ▲                                    │  task hash = truth · stream = wake-ups                  (any number)
//!     └──WebSocket── ws ◀──pub/sub─────────┘  sorted sets = order                                  └──bytes──▶ file store
//! ```
//!
//! * **api** ([`api`]) validates requests, enqueues tasks ([`submit`]), answers reads, and serves the page
//!   ([`dashboard`]). It never talks to ComfyUI.
//! * **dispatcher** ([`dispatcher`]) leases instances, claims tasks for free slots, drives ComfyUI ([`comfy`]) and
//!   stores the outputs ([`store`]). A spare dispatcher is idle.
//! * **ws** ([`ws`]) forwards the events that Redis publishes and writes nothing. It runs inside the api process unless
//!   `--no-ws` is given.
//! * **up** runs all of them in one process on an owned child Redis ([`embedded`]), with stand-in instances ([`sim`])
//!   while no fleet is configured.
//! * **doctor** ([`doctor`]) examines an installation and changes nothing. The client commands ([`cli`]) use only the
//!   public API.
//!
//! api, dispatcher and ws are stateless: run any number of each against one `REDIS_URL`.
//!
//! # The way of a task
//!
//! **A request becomes a task.** A token becomes a caller ([`auth`]) · the body is parsed once · [`submit`] plans: params,
//! seeds and requirements are resolved ([`graph`]) · files in the request or at URLs are staged ([`fetch`], [`store`]) ·
//! `enqueue.lua` writes hash, indexes, wake-up and event in one step, idempotent and bounded ([`queue`]) · the api
//! answers with its envelope.
//!
//! **A task becomes files.** The actor of an instance with a free slot runs `claim.lua` · uploads the inputs that the
//! instance lacks · looks in `/queue`, then `/history`, if an earlier POST is in doubt · sends `POST /prompt` with the
//! prompt id f(task, attempt) · records `execution_start` with `start.lua` and conflated progress with `progress.lua` ·
//! stores the outputs of a node as soon as the node has ended · reads the history once the prompt has ended · settles the
//! attempt with `finish.lua`, or with `nack.lua` for another try. The slot is free before the bytes are stored.
//!
//! **An event reaches a browser.** A script publishes (version, event) → one subscription per process → the hub → a
//! bounded outbox per session → the socket.
//!
//! # Promises
//!
//! * A task that was acknowledged with 200 exists until it is collected, and ends exactly once: completed, failed or
//!   cancelled.
//! * No prompt runs twice while its instance answers, whichever process is killed, paused or cut off. Redis checks every
//!   writer: each write of an attempt carries the instance's lease token and the attempt's number, and a stale write is
//!   refused.
//! * A cancel is final at once; a cancel that races with a completion has exactly one winner.
//! * The ending of a task reaches every session that watches it ([`ws`]).
//!
//! "Exists" is as durable as Redis is: see [durability in `queue`](queue#durability). Not promised: an instance that is
//! cut off for longer than `--gone-after` counts as dead, and its prompts run elsewhere although it may still be working
//! on them; a Redis that loses its data loses the tasks in it.
//!
//! # Faults
//!
//! | fault | consequence |
//! |---|---|
//! | a dispatcher is killed | its prompts keep running; after its lease expires (15 s; at once on SIGTERM) another dispatcher takes its instances, finds the prompts by id and continues: no second run, no attempt used |
//! | a dispatcher is paused and resumes | it was replaced; all its writes are refused |
//! | Redis is unreachable | submits get 503, running prompts continue, results are recorded afterwards; an outage of any length moves no lease to another dispatcher |
//! | Redis is silent (frozen, or cut off without an end of its connections) | after 5 s each connection is made anew through Sentinel or the cluster, or replaced by a new client; writes are accepted within 10 s of a promotion. What the old primary acknowledged and did not replicate is lost, unless `min-replicas-to-write` or `--durability replica` prevents it. With `replica`, processes that stay with the old primary accept and submit nothing |
//! | Redis restarts | leases begin anew, claims pause for 3 s, dispatchers report their latest endings again; tasks that a weak durability forgot are found on the instances |
//! | Redis refuses us (full disk, replica, too few replicas, no free connection, a command or the password denied) | 503 with the reason in submits and `/api/health`; `/readyz` fails; a command that is denied at the start ends the process, and is named |
//! | Redis is emptied or replaced | every call is refused (503 `queue_lost`), `/readyz` fails; restored data is taken at once, a restart of all processes begins an empty system |
//! | a cluster moves the slot key by key | calls get 503 and change nothing until all keys have moved; atomic migration is not noticed |
//! | Redis' memory is full | from 90 % of `maxmemory` on nothing new is accepted (503 `queue_memory_full`); what runs ends, cancels and deletes work; at 100 % claims pause |
//! | an answer of Redis is lost | every script may be sent twice: the second call changes nothing |
//! | api or ws dies | clients connect to another process; endings are replayed, or the client is asked to read again |
//! | an instance dies under a task | the task runs elsewhere; if a second instance dies under it, it fails for good (`poison`): a graph must not take the fleet down |
//! | an instance refuses connections | its process is gone: after 10 s its tasks run elsewhere; a process that restarts sooner answers for itself, with an empty queue |
//! | an instance is cut off | nothing is repeated until `--gone-after`; if it returns with its queue within an hour, abandoned prompts are deleted from it |
//! | an instance answers, but fails three runs in a row | it is paused for 1 s, then 2, 4 … 60 s (`phase` `suspect`) until a run succeeds |
//! | a node raises, or the graph is invalid | the task fails at once, with the node and its message: it would fail on every instance. If the message does not say whose fault it is, another instance decides |
//! | a GPU, a driver, a disk or a model file fails | the task runs elsewhere, and the attempt is not counted; the instance is quarantined until a trial, a restart or the operator ends it. Two broken machines fail no task that a sound one can run |
//! | tasks break machines that work | each fails (`poison`) on the third machine, or on all that can run it, and the machines are given back; the first trials are those of tasks that no fault speaks against (rules: `lua/lib/fault_verdict.lua`) |
//! | an instance runs out of memory | its memory is freed; one more try, where there is more memory if possible |
//! | a node is silent while its instance answers and shows it | it goes on, for `--silent-timeout`; one more try elsewhere, then it fails |
//! | infrastructure fails in any other way | the attempt is retried, elsewhere if possible, with growing delays, up to `maxAttempts` times |
//! | an output download breaks off or trickles | it is fetched again; below 64 KiB/s over six HTTP timeouts the attempt is given up |
//! | an output cannot be fetched | it is left out with a warning if other files are there; else the task is run once more, elsewhere and without caches; then it fails |
//! | a worker dies behind healthy HTTP | a prompt that has executed ends as it was announced, within a minute; others run elsewhere; the instance is put aside until it is restarted |
//! | an instance sends hostile bytes | limits of size and number, and of a head without end (64 KiB), during which others run; a result that cannot be read or fetched fails the task with the reason; a dispatcher stays below 256 MB |
//! | the store's disk is at its reserve | uploads get 507 and tasks wait; running prompts still store their outputs |
//! | the store is full or unreachable | uploads get 507 or 503; attempts are retried; deleting a file frees the disk of a Redis that cannot write |
//! | the log cannot be written | its lines are lost and counted |
//! | an index entry or the stream is lost | the sweep rebuilds it from the task hashes |
//!
//! # Proof
//!
//! * A random model of clients, dispatchers, janitors and instances runs against the real scripts and compares them with
//!   its own ground truth (`tests/it/model`).
//! * Mutants: every script is broken on purpose, one place at a time, and a test must fail (`tests/it/mutants`).
//! * Real processes are killed, paused and cut off under load; a referee that sees every prompt of every instance checks
//!   the result (`tests/it/faults`). `bin/test --soak 20` injects random faults for twenty minutes; a seed repeats it.
//! * The same behind Sentinel, on a cluster of three primaries, and on Redis 7.0 and 8, Valkey 8 and 9. `bin/test
//!   --tables` measures what the failovers and outages there cost: time without an answer, tasks lost, tasks run twice.
//!
//! # Cost
//!
//! `cargo bench` measures ratios against the barest server that could do the same on the same machine, and prints them
//! beside the targets:
//!
//! | name | measures | target |
//! |---|---|---|
//! | `submit` | `POST /api/tasks`, 2 KB, against one handler with one small script in Redis | at least 0.6 of it; p99 below 20 ms at 1,000 a second |
//! | `fanout` | deliveries to 1,000 sockets, against a bare loop | at least 0.8 of it; an idle socket below 20 KB |
//! | `list` | `GET /api/tasks` with a million tasks, at any offset | p99 below 5 ms |
//! | `gap` | time from a prompt's end to the next POST on the same instance | a median below 10 ms |
//! | `idle` | a dispatcher without tasks | below 2 % of a core |
//! | `params` | 60 params into 300 nodes | below 1 ms |
//! | `large` | `/livez` with bodies of 64 KiB to 8 MiB in flight, of shapes that are hard to resolve | p99 below 50 ms |
//! | `task-cost` | CPU time of the Redis process, scripts and calls of a whole task | 0.4 ms and 45 calls; 0.8 ms with 20 progress messages |
//!
//! # Limits
//!
//! One namespace lives on one Redis primary. A whole task without progress costs it 0.4 ms under load (0.8 before; 40 tasks
//! at once, on a busy machine of 2 vCPU), which is 2,000 a second of a whole core; plan half. Progress costs 30 to 50 µs a
//! message, of which a task sends five a second at most. 2,000 idle instances of 16 dispatchers take some 3 % of a core.
//! Beyond that, use several namespaces. EVALSHA is used: functions (FCALL) took 5 to 30 % less, in noise of the same size,
//! and would have to be installed on every primary.
//!
//! Files are on a disk that api and dispatcher share, or in a bucket. There is one administrator. A proxy in front
//! terminates TLS. A prompt that is queued inside an instance (`--slots 2`) dies with it and runs again elsewhere. After
//! a `kill -9` of `up` its own leases must expire before it dispatches again. Out of scope: attackers who can write to
//! Redis, and hostile nodes on the machine of an instance.
//!
//! # Rooms
//!
//! | room | content |
//! |---|---|
//! | [`task`], [`event`], [`fleet`] | nouns: a task and its attempts, events, servers and instances |
//! | [`problem`], [`json`], [`net`], [`text`], [`clock`], [`backoff`], [`save_file`] | leaves: problems of a request, raw JSON, addresses, text cuts, time, retry delays, files saved whole or not at all |
//! | [`submit`] | what a request to run something means, without HTTP: plan, stage files, enqueue or show |
//! | [`queue`] | Redis: connection, scripts, tasks, dispatch, events, healing; promises and durability |
//! | [`comfy`] | one ComfyUI as it really behaves: client, socket, outcome from history |
//! | [`schedule`] | a warm and fair order of waiting tasks, its predictions and simulator; pure; used by `bench schedule` only so far |
//! | [`graph`] | a workflow as a value: parse, params, conversion, requirements; pure |
//! | [`store`], [`media`], [`fetch`] | bytes: where they are, what is in them, files from the web |
//! | [`auth`] | passwords, tokens, callers and their permissions |
//! | [`secrets`] | keys of API nodes: encrypted at rest, masked in errors |
//! | [`api`], [`ws`], [`dashboard`] | the front: REST and its document, WebSocket, page |
//! | [`dispatcher`] | leasing, one actor per instance, attempts |
//! | [`doctor`], [`embedded`], [`sim`], [`cli`] | the doctor, the owned Redis, the stand-in ComfyUI, the client commands |
//! | [`settings`], [`metrics`], [`process`], [`trace`] | for every process: flags and limits, metrics, serving and signals, spans |
//!
//! Layers: `bin` → `api | ws | dashboard | dispatcher | doctor | sim | embedded | cli` (never one another) → `submit` (api
//! only) → `queue, comfy, store, auth, graph, fetch, media, schedule` → `task, event, fleet` → `secrets`, leaves. `settings, metrics, process,
//! trace` serve all of them. Tests hold this.
//!
//! Invariants: (1) api never talks to ComfyUI, and to the web only through `fetch`; ws writes nothing. (2) A task's
//! state changes only in `lua/`. (3) Every write of an attempt carries (instance, token, attempt); stale ones are
//! refused in Lua. (4) Event and state change are one script. (5) Terminal is terminal. (6) Wire forms never leave
//! their room. (7) Every queue, channel, retry, body and wait has a named limit. (8) Numbers of a workflow are never
//! re-encoded.
//!
//! # To change X, go to Y
//!
//! | to change | go to |
//! |---|---|
//! | a failure kind | `task/failure.rs` (`FailureKind`: word, retryable or final) · raised in `comfy/` or `dispatcher/attempt/` · `lua/nack.lua` if it is retried in another way · `api/guides/errors*.md` (a test compares) · `dashboard/page/words/*-errors.js` |
//! | a setting | `settings.rs` or `settings/` (flag, variable, default, help in its doc comment) · the role in `bin/roles/` that passes it on · `compose.yaml`, `deploy/` if operators set it |
//! | a REST field of a task | `task/view.rs` (the one place that spells it) · `queue/tasks/task_hash.rs` and the script that writes it · `api/openapi/` for what is not derived |
//! | a REST route | `api/routes/` (handler and its `utoipa` attributes) · the list in `api/mod.rs` · `api/guides/` |
//! | an error of the API | `api/error.rs` and `api/error/table.rs` (status, `type` word, message) · `x-errors` of the routes |
//! | the meaning of a submit | `submit/plan.rs`, `submit/template.rs` · `graph/params/` for params · `submit/files/` for files |
//! | the work that a request may make | `submit/cpu_pool.rs` (limits, threads) · `graph/budget.rs` · `settings.rs` (`BATCH_TEXT_BYTES_MAX`) |
//! | a rule of the editor's format | `graph/convert/`, one file a subject · `graph/catalog/read.rs`, `graph/catalog/dynamic.rs` for declarations · `graph/tests/editor_rules.rs` |
//! | a surface that submits | a room beside [`api`] that translates its wire form into [`submit::Submission`] and calls [`submit::Submitter`] |
//! | a Lua verb | `lua/<verb>.lua` with its header · `queue/redis/scripts.rs` (verb, preludes) · its one caller in `queue/` · a mutant in `tests/it/mutants/table/` |
//! | a key in Redis | `lua/lib/base.lua` · the table in [`queue`] · the sweep in `lua/repair_index.lua` if it is an index |
//! | an output kind | `comfy/outputs.rs`, `comfy/outputs/values.rs` (found in the history) · `task/output.rs` (its facts) · `store/content_type.rs`, `media/` · `dashboard/page/components/task/outputs.js` |
//! | an event or a WebSocket message | `event.rs` · the script that publishes it · `ws/frames.rs`, `ws/hub.rs` · `api/guides/websocket*.md` |
//! | a metric | `metrics.rs`, `metrics/table.rs` · `metrics/metrics.md` · `deploy/prometheus/alerts.yaml` |
//! | a CLI command | `cli/commands/` (arguments, help, run) · `cli/mod.rs` (`Command`) · `cli/help.rs` (its group) |
//! | a view of the page | `dashboard/page/views/` · `dashboard/page/views/shell.js` (route) · `dashboard/page/words/` · `dashboard/page_files.rs` (embedded files) |
//! | the choice of the next task | `lua/claim.lua`, `lua/lib/` · `dispatcher/instance/claimer.rs` |
//! | the simulated schedule | `schedule/policy.rs`, `schedule/policy/lane.rs`, `schedule/fair.rs` · `schedule/simulate/` runs them over a trace |
//! | a step of an attempt | `dispatcher/attempt/run.rs` and the stage's file beside it |
//! | a node or a fault of the stand-in | `sim/nodes/` · `sim/server/faults.rs` |
//! | a check of `doctor` | `doctor/`, one file a subject |
//! | a rule of the code itself | `tests/it/tidy/` |

pub mod api;
pub mod auth;
mod backoff;
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
mod json;
pub mod media;
pub mod metrics;
mod net;
pub mod problem;
pub mod process;
pub mod queue;
pub mod save_file;
pub mod schedule;
pub mod secrets;
pub mod settings;
pub mod sim;
pub mod store;
pub mod submit;
pub mod task;
mod text;
pub mod trace;
pub mod ws;
