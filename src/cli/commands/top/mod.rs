//! `shuzhiren top`: the live fleet, redrawn as events arrive.

pub(super) mod top_view;

use crate::cli::{
    client::{
        common_args::Common,
        event_stream::{EventStream, Next},
        rest::Api,
    },
    error::Error,
    term::{
        format::text,
        output,
        screen::{Screen, stop_signal},
    },
};
use clap::Args;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};
use top_view::TopView;

/// Minimum time between two drawings.
const DRAW_EVERY: Duration = Duration::from_millis(250);
/// Interval of reads by REST: no event reports free memory.
const READ_EVERY: Duration = Duration::from_secs(5);
/// Size assumed for a terminal that does not report one.
const SIZE: (usize, usize) = (110, 40);

/// Settings of `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Print the state once and exit; the default if standard output is not a terminal
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    common: Common,
}

/// Shows the fleet until `q` or Ctrl-C. As JSON, prints one line `{"overview","instances","running"}`.
pub(crate) async fn top(args: TopArgs) -> Result<(), Error> {
    let api = args.common.connection.logged_in()?;
    let mut view = TopView::new(api.base());
    read(&api, &mut view).await?;
    if args.common.json {
        return output::print_line(&view.json().to_string());
    }
    if args.once || !output::can_draw() {
        // Without a terminal nothing is cut off: programs search for whole words.
        let columns = output::columns().unwrap_or(usize::MAX);
        return top_view::draw(&view, columns, usize::MAX, output::has_colors())
            .iter()
            .try_for_each(|line| output::print_line(line));
    }
    let mut screen = Screen::open()?;
    let shown = tokio::select! {
        shown = show(&api, &mut view, &mut screen) => shown,
        () = stop_signal() => Ok(()),
    };
    drop(screen);
    shown
}

async fn show(api: &Api, view: &mut TopView, screen: &mut Screen) -> Result<(), Error> {
    let mut events = EventStream::new(api);
    let mut ticks = interval(DRAW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut read_at = Instant::now() + READ_EVERY;
    loop {
        let next = tokio::select! {
            next = events.next() => next?,
            () = screen.stop_key() => return Ok(()),
            _ = ticks.tick(), if events.is_open() => {
                if Instant::now() >= read_at {
                    read(api, view).await?;
                    read_at = Instant::now() + READ_EVERY;
                }
                if !draw(view, screen)? {
                    return Ok(());
                }
                continue;
            }
        };
        match next {
            Next::Opened => view.warning = None,
            Next::Event(event) => view.apply(&event),
            Next::Lost(loss) => {
                view.warning = Some(format!("no live updates ({}); reconnecting", loss.why));
                if !draw(view, screen)? {
                    return Ok(());
                }
                read(api, view).await?;
            }
        }
    }
}

/// Draws the view. Returns false if the reader of standard output has gone.
fn draw(view: &TopView, screen: &mut Screen) -> Result<bool, Error> {
    let (columns, lines) = output::size().unwrap_or(SIZE);
    match screen.draw(&top_view::draw(view, columns, lines, output::has_colors())) {
        Ok(()) => Ok(true),
        Err(Error::ReaderGone) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads everything by REST.
async fn read(api: &Api, view: &mut TopView) -> Result<(), Error> {
    view.overview = api.get("/api/monitor/overview").await?.value;
    view.instances = match api.get("/api/instances").await?.value {
        Value::Array(instances) => instances,
        _ => Vec::new(),
    };
    let running = api.get("/api/tasks?status=running&limit=200").await?;
    view.running = running.value["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|task| (text(task, "id").to_owned(), task.clone()))
        .collect();
    Ok(())
}
