//! `pushctl sub`: follows channels and prints their messages, or runs a command for each.
//!
//! ```text
//! options, start ─> client::Subscription ─> queue ─> print | exec ─> stdout, cursor_file
//!                                                        └─ watch: stop conditions, exit code
//! ```

mod cursor_file;
mod exec;
mod options;
mod print;
mod queue;
mod report;
mod start;
mod template;
mod watch;

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::exit::{Code, Usage, exit_codes};
use super::output::files::Durability;
use super::{args, output};
use crate::client::cursor::marks::Marks;
use crate::client::mode::Mode;
use crate::client::subscription::{FollowedChannel, SubscriptionSettings, SubscriptionStart};
use crate::client::{Dialect, Endpoints, Subscription};
use cursor_file::CursorFile;
use exec::{CompletionLedger, Runner};
use options::{DeliveryOptions, ExecOptions, OutputForm, OutputOptions, StartOptions, StopOptions};
use print::{MessageFormat, Printer};
use start::{ModeChoice, Since};
use watch::{End, HandledTally, Stop, Watch};

macro_rules! examples {
    () => {
        "Examples:\n  pushctl sub news\n  pushctl sub news sport --since -10 --json\n  \
         pushctl sub deploy --until 'finished' --fail-on 'error|failed' --timeout 5m\n  \
         pushctl sub jobs --cursor-file jobs.cursor --exec './work'\n  \
         pushctl sub news --template '{time} {channel}: {text}'"
    };
}

/// Arguments of `sub`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = concat!(examples!(), "\n\n", args::more_options!()),
    after_long_help = concat!(examples!(), "\n\n", exit_codes!())
)]
pub struct Args {
    /// Channels to follow, also separated by '/'
    ///
    /// A name that ends in '.b' and a number has its own backlog: 'news.b5' is 'news' with its last
    /// 5 messages. To follow a channel whose name ends so, append '.b0'.
    #[arg(value_name = "CHANNEL", required = true)]
    channels: Vec<String>,
    /// Delivery mode [default: ev]
    ///
    /// The configuration file may set another default for a server.
    #[arg(short, long, value_enum)]
    mode: Option<ModeChoice>,
    #[command(flatten)]
    start: StartOptions,
    #[command(flatten)]
    output: OutputOptions,
    #[command(flatten)]
    exec: ExecOptions,
    #[command(flatten)]
    stop: StopOptions,
    #[command(flatten)]
    delivery: DeliveryOptions,
    #[command(flatten)]
    pub(super) server: args::ServerOptions,
}

/// Time limit for the line that is being written when a signal or the clock ends the run.
const LAST_LINE: Duration = Duration::from_millis(250);

/// Follows the channels until a stop condition holds.
///
/// # Errors
/// When the arguments are invalid, or the server rejects the request or becomes unreachable.
pub async fn run(args: Args, url: &str) -> anyhow::Result<Code> {
    let deadline = match args
        .stop
        .timeout
        .map(|timeout| Instant::now().checked_add(timeout))
    {
        Some(None) => return Err(Usage("the time of --timeout is too long".to_owned()).into()),
        Some(deadline) => deadline,
        None => None,
    };
    let format = message_format(&args.output)?;
    let endpoints = args.server.endpoints(url)?;
    let modes = args.modes();
    // Reports an invalid channel before anything else.
    endpoints.subscribe(modes[0], &args.channels.join("/"))?;
    let dialect = args.server.dialect;
    let is_unframed = dialect.is_some_and(Dialect::is_unframed);
    let (start, backlog) = args.start()?;
    let channels = start::channels(&args.channels, backlog, is_unframed)?;
    let only = match channels.as_slice() {
        [only] => Some(only.id.clone()),
        _ => None,
    };
    let Resumption { file, start, marks } = args.resumption(&endpoints, &channels, start)?;
    let settings = SubscriptionSettings {
        modes,
        channels,
        start,
        retries: args.delivery.retry,
        keeps_start: file.is_some(),
        silence: args.delivery.silence_timeout,
        interval: args.delivery.interval,
        max_message_bytes: args.delivery.max_message_size,
        dialect,
    };
    let subscription = Subscription::new(args.server.client()?, endpoints, settings);
    let context = Context {
        format,
        only,
        file,
        marks,
        deadline,
    };
    follow(&args, subscription, context).await
}

/// The cursor file, and the position at which the run starts.
struct Resumption {
    file: Option<Arc<CursorFile>>,
    start: SubscriptionStart,
    marks: Marks,
}

impl Args {
    /// The modes to try, in order.
    fn modes(&self) -> Vec<Mode> {
        // NHPM has no streams but long-polling.
        let default = if self.server.dialect == Some(Dialect::Nhpm) {
            Mode::Lp
        } else {
            Mode::Ev
        };
        let mode = self
            .mode
            .unwrap_or(self.server.mode().unwrap_or(default).into());
        start::modes(mode, &self.delivery.fallback)
    }

    /// Start of the subscription, and the backlog of each channel.
    fn start(&self) -> Result<(SubscriptionStart, Option<u64>), Usage> {
        let backlog = self.start.backlog;
        let (start, backlog) = match &self.start.since {
            Some(Since::Start(start)) => (start.clone(), backlog),
            Some(Since::Last(count)) => (SubscriptionStart::New, Some(*count)),
            None => (SubscriptionStart::New, backlog),
        };
        if backlog.is_some() && self.server.dialect.is_some_and(Dialect::is_unframed) {
            return Err(Usage(
                "NHPM and nchan cannot start N messages back (use --since all, or a time)"
                    .to_owned(),
            ));
        }
        Ok((start, backlog))
    }

    /// Opens the cursor file. A position in it overrides `start`.
    fn resumption(
        &self,
        endpoints: &Endpoints,
        channels: &[FollowedChannel],
        start: SubscriptionStart,
    ) -> anyhow::Result<Resumption> {
        let (file, saved) = match &self.start.cursor_file {
            Some(path) => {
                let ids = channels.iter().map(|channel| channel.id.clone());
                let durability = if self.start.no_fsync {
                    Durability::Unsynced
                } else {
                    Durability::Synced
                };
                let (file, marks) = CursorFile::open(path, &endpoints.base(), ids, durability)?;
                (Some(Arc::new(file)), marks)
            }
            None => (None, None),
        };
        let (start, marks) = match saved.filter(|marks| !marks.is_empty()) {
            Some(marks) => (SubscriptionStart::At(marks.clone()), marks),
            None => {
                let marks = first_marks(&start);
                (start, marks)
            }
        };
        // A time is saved once the server has responded; an event id is known already.
        if let Some(file) = file.as_ref().filter(|_| marks.event_id.is_some()) {
            file.save(&marks)?;
        }
        Ok(Resumption { file, start, marks })
    }
}

/// Settings of a run that are derived from its arguments.
struct Context {
    format: MessageFormat,
    /// The channel, if there is only one.
    only: Option<String>,
    file: Option<Arc<CursorFile>>,
    marks: Marks,
    deadline: Option<Instant>,
}

async fn follow(args: &Args, subscription: Subscription, context: Context) -> anyhow::Result<Code> {
    let stdout = output::Stdout::start()?;
    let tally = Arc::new(HandledTally::default());
    let mut watch = Watch::new(&args.stop);
    let (sender, mut queue) = queue::queue(args.stop.idle_timeout);
    let mut stop: Stop<'_> = Box::pin(stop(context.deadline));
    let fail_on_gap = args.stop.fail_on_gap;
    let only = context.only.as_deref();
    let (end, has_failed) = if let Some(command) = &args.exec.exec {
        let runner = Runner {
            command,
            jobs: usize::from(args.exec.jobs),
            ack_on_success: args.exec.ack_on_success,
            fail_on_gap,
            only,
            stdout: &stdout,
            tally: &tally,
            file: context.file,
            ledger: CompletionLedger::new(context.marks),
            failed: false,
        };
        fed(
            sender,
            subscription,
            runner.run(&mut queue, &mut watch, stop),
        )
        .await?
    } else {
        let printer = Printer {
            format: &context.format,
            for_terminal: std::io::stdout().is_terminal(),
            only,
            stdout: &stdout,
            tally: Arc::clone(&tally),
            file: context.file,
            marks: context.marks,
            fail_on_gap,
        };
        let end = tokio::select! {
            end = fed(sender, subscription, printer.run(&mut queue, &mut watch)) => end?,
            stopped = &mut stop => {
                stdout.settle(LAST_LINE).await;
                stopped?
            }
            () = stdout.hung_up() => End::Unread,
        };
        (end, false)
    };
    let code = watch.conclude(&args.stop, end, &tally);
    Ok(if has_failed && code == Code::Success {
        Code::Failed
    } else {
        code
    })
}

/// Runs `worker`, and reads the subscription into its queue.
async fn fed<T>(
    sender: queue::EventSender,
    subscription: Subscription,
    worker: impl Future<Output = T>,
) -> T {
    let mut worker = std::pin::pin!(worker);
    tokio::select! {
        biased;
        end = &mut worker => return end,
        () = sender.read(subscription) => {}
    }
    worker.await
}

/// Returns at the deadline or on a signal.
async fn stop(deadline: Option<Instant>) -> anyhow::Result<End> {
    let time = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = time => Ok(End::TimedOut),
        result = super::runtime::interrupted() => result.map(|()| End::Interrupted),
    }
}

/// Marks of a run that resumes no earlier one.
fn first_marks(start: &SubscriptionStart) -> Marks {
    match start {
        SubscriptionStart::New | SubscriptionStart::At(_) => Marks::default(),
        SubscriptionStart::Since(since) => Marks {
            start: Some(crate::message::Position::new(*since, 0)),
            ..Marks::default()
        },
        SubscriptionStart::After(position) => Marks {
            start: Some(*position),
            ..Marks::default()
        },
        SubscriptionStart::AfterEvent(event_id) => Marks {
            event_id: Some(event_id.clone()),
            ..Marks::default()
        },
    }
}

fn message_format(args: &OutputOptions) -> Result<MessageFormat, Usage> {
    match (args.output, &args.template) {
        (Some(OutputForm::Template), None) => {
            Err(Usage("--output template requires --template".to_owned()))
        }
        (Some(OutputForm::Text | OutputForm::Json), Some(_)) => Err(Usage(
            "--template conflicts with --output text and json".to_owned(),
        )),
        (Some(OutputForm::Template) | None, Some(template)) => {
            Ok(MessageFormat::Template(template.clone()))
        }
        (Some(OutputForm::Json), None) => Ok(MessageFormat::Json),
        (Some(OutputForm::Text), None) => Ok(MessageFormat::Text),
        (None, None) if args.json => Ok(MessageFormat::Json),
        (None, None) if args.raw => Ok(MessageFormat::Raw),
        (None, None) => Ok(MessageFormat::Text),
    }
}
