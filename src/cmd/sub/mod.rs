//! `pushctl sub`: follows channels and prints their messages, or runs a command for each.
//!
//! ```text
//! start (args -> what to follow) ─> client::Subscription ─> queue ─> print | exec ─> stdout, cursor_file
//!                                                                └─ watch: what ends the run, and its exit code
//! ```

mod cursor_file;
mod exec;
mod print;
mod queue;
mod report;
mod start;
mod template;
mod watch;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;
use tokio::time::{Instant, sleep_until};

use super::exit::{Code, Usage, exit_codes};
use super::files::Durability;
use super::{args, output};
use crate::client::marks::Marks;
use crate::client::subscription::{Settings, Start};
use crate::client::{Dialect, Mode, Subscription};
use cursor_file::CursorFile;
use exec::{Ledger, Runner};
use print::{Form, Printer};
use start::{ModeChoice, Since};
use template::Template;
use watch::{End, Stop, Tally, Watch};

macro_rules! examples {
    () => {
        "Examples:\n  pushctl sub news\n  pushctl sub news sport --since -10 --json\n  \
         pushctl sub deploy --until 'finished' --fail-on 'error|failed' --timeout 5m\n  \
         pushctl sub jobs --cursor-file jobs.cursor --exec './work' --jobs 4 --ack-on-success\n  \
         pushctl sub news --mode auto --template '{time} {channel}: {text}'"
    };
}

/// Arguments of `sub`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = examples!(),
    after_long_help = concat!(examples!(), "\n\n", exit_codes!())
)]
pub struct Args {
    /// Channels to follow; several may also be separated by '/'
    ///
    /// A name that ends in '.b' and digits has a backlog of its own: 'news.b5' is 'news' with its
    /// last 5 messages. To follow a channel whose own name ends so, add '.b0'.
    #[arg(value_name = "CHANNEL", required = true)]
    channels: Vec<String>,
    /// How messages are delivered [default: what the configuration file says of the server, or ev]
    #[arg(short, long, value_enum)]
    mode: Option<ModeChoice>,
    /// Modes to go on with, one after the other, if --mode does not work
    ///
    /// A mode gives way when the server or a proxy does not take it or holds it back (see
    /// --silence-timeout), or when it fails three times in a row without a message. Nothing is lost
    /// or repeated on the way. 401 and 403 end the run in any mode.
    #[arg(long, value_name = "MODE,...", value_enum, value_delimiter = ',')]
    fallback: Vec<ModeChoice>,
    /// What is printed of a message
    #[arg(short, long, value_enum, value_name = "FORM", conflicts_with_all = ["json", "raw"])]
    output: Option<OutputForm>,
    /// Print all known fields of each message as one line of JSON
    #[arg(long)]
    json: bool,
    /// Print each message as FORMAT says, such as '{time} {channel}: {text}'
    ///
    /// Fields: {channel} {text} {time} (HTTP date) {unix} (seconds) {tag} {cursor} (unix:tag, for
    /// --since) {id} {event_id} {event_type} {size} {json}; a field that the server does not tell
    /// is empty. Escapes: {{ }} \n \t \r \0 \e \\ \xHH. A line break follows, unless FORMAT ends in
    /// \c.
    #[arg(long, value_name = "FORMAT", value_parser = Template::parse, conflicts_with_all = ["json", "raw"])]
    template: Option<Template>,
    /// Print the bytes of the messages and nothing else, no line breaks either; nothing is escaped
    /// on a terminal
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Run a command for each message instead of printing it
    ///
    /// 'sh -c' runs it, with the message on its standard input and its fields in the environment:
    /// PUSHCTL_CHANNEL, _ID, _TIME (HTTP date), _UNIX, _TAG, _CURSOR, _EVENT_ID, _EVENT_TYPE.
    /// PUSHCTL_TOKEN and the user and password of PUSHCTL_URL are not passed on. If a command
    /// fails, the exit code is 9 in the end.
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["json", "raw", "template", "output"])]
    exec: Option<String>,
    /// Commands that run at the same time
    #[arg(long, value_name = "N", requires = "exec", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    jobs: u16,
    /// Stop at the first command that fails; the cursor stays before its message
    ///
    /// With several jobs the cursor is the oldest message that is not done, so those behind it that
    /// were done come again.
    #[arg(long, requires = "exec", requires = "cursor_file")]
    ack_on_success: bool,
    /// Start with the last N stored messages of each channel
    #[arg(short, long, value_name = "N", conflicts_with = "since")]
    backlog: Option<u64>,
    /// Where to start: now, all, -N (the last N of each channel), 5m (ago), a time, TIME:TAG, or
    /// id:EVENT-ID
    ///
    /// Times are RFC 3339 (without a zone: UTC; a date alone is its first second), HTTP dates or
    /// unix seconds. TIME:TAG starts behind the message of that time and tag, id:EVENT-ID behind
    /// the one with that event id.
    #[arg(short, long, value_name = "START", value_parser = start::since, allow_hyphen_values = true)]
    since: Option<Since>,
    /// Keep in FILE where this run stands, and go on there in the next one
    ///
    /// It is written after a message was accepted by standard output (or its command ended), in one
    /// step (a new file is synced and renamed), and holds the place in every channel: the next run
    /// goes on exactly there, in any mode. The start is written as soon as it is known, so that a
    /// run without messages loses none. --since and --backlog count only if there is no FILE yet.
    /// One run at a time may use it (FILE.lock stays, for that), and for the same server and
    /// channels only. If FILE is a link, the file that it names is replaced; FILE.tmp and FILE.lock
    /// must not be links.
    #[arg(long, value_name = "FILE")]
    cursor_file: Option<PathBuf>,
    /// Do not wait for the disk when the cursor is written: a power failure may then damage FILE
    #[arg(long, requires = "cursor_file")]
    no_fsync: bool,
    /// Stop after N messages
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Stop after a message that matches REGEX; with --count it must be among those, or the exit
    /// code is 6
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    until: Option<Regex>,
    /// Stop after a message that matches REGEX, with exit code 9
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    fail_on: Option<Regex>,
    /// Stop with exit code 10 when messages were missed
    #[arg(long)]
    fail_on_gap: bool,
    /// It is no failure (exit code 11) when the last channel is deleted
    #[arg(long)]
    deleted_ok: bool,
    /// Stop after this time
    ///
    /// With --count or --until this is a failure (exit code 6) if they did not come; without, it is
    /// the regular end (exit code 0).
    #[arg(short, long, value_name = "DURATION", value_parser = args::duration)]
    timeout: Option<Duration>,
    /// Stop when no message came for this time; the exit code is that of --timeout
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    idle_timeout: Option<Duration>,
    /// Reconnect when a connection brings nothing for this time, not even a ping; 0: never
    ///
    /// It is about the modes ev, ws and stream. The connection is resumed behind the last message.
    /// By default it is two and a half times the interval of the server's pings, as soon as two of
    /// them came in a row; of a server that sends none, a silence means nothing. While there is
    /// another mode to try (--mode auto, --fallback), a mode also gives way when nothing at all has
    /// come for 15s: a proxy that buffers responses holds back streams.
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    silence_timeout: Option<Duration>,
    /// Failed attempts in a row after which to give up [default: 0 before the first connection,
    /// then forever]
    ///
    /// A refusal (401, 403, 404 and most others of 400 to 499) is never tried again.
    #[arg(long, alias = "retries", value_name = "N|forever", value_parser = retries)]
    retry: Option<u32>,
    /// Bytes of a message, and of an answer in the modes lp and poll; more ends the run with exit
    /// code 7
    #[arg(long, value_name = "SIZE", default_value = "64m", value_parser = args::size)]
    max_message_size: usize,
    /// Time between two requests of mode poll, at least 100ms
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = args::interval)]
    interval: Duration,
    #[command(flatten)]
    pub(super) server: args::Server,
}

/// What is printed of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputForm {
    /// The text, and a line break
    Text,
    /// All known fields, as one line of JSON
    Json,
    /// What --template says
    Template,
}

/// Time for a line under way when a run ends from outside.
const LAST_LINE: Duration = Duration::from_millis(250);

/// Follows until the end that the arguments ask for.
///
/// # Errors
/// When the server refuses, or cannot be reached any more.
pub async fn run(args: Args, url: &str) -> anyhow::Result<Code> {
    let deadline = match args
        .timeout
        .map(|timeout| Instant::now().checked_add(timeout))
    {
        Some(None) => return Err(Usage("the time of --timeout is too long".to_owned()).into()),
        Some(deadline) => deadline,
        None => None,
    };
    let form = form(&args)?;
    let endpoints = args.server.endpoints(url)?;
    // NHPM has no other streams.
    let usual = if args.server.dialect == Some(Dialect::Nhpm) {
        Mode::Lp
    } else {
        Mode::Ev
    };
    let modes = start::modes(
        args.mode
            .unwrap_or(args.server.mode().unwrap_or(usual).into()),
        &args.fallback,
    );
    // Refuses channels before anything else does.
    endpoints.subscribe(modes[0], &args.channels.join("/"))?;
    let (start, backlog) = match &args.since {
        Some(Since::Start(start)) => (start.clone(), args.backlog),
        Some(Since::Last(count)) => (Start::New, Some(*count)),
        None => (Start::New, args.backlog),
    };
    let dialect = args.server.dialect;
    let is_bare = dialect.is_some_and(Dialect::is_bare);
    if is_bare && backlog.is_some() {
        return Err(Usage(
            "nhpm and nchan know no backlog by number (use --since all, or a time)".to_owned(),
        )
        .into());
    }
    let channels = start::channels(&args.channels, backlog, is_bare)?;
    let only = if let [only] = channels.as_slice() {
        Some(only.id.clone())
    } else {
        None
    };
    let (file, kept) = match &args.cursor_file {
        Some(path) => {
            let ids = channels.iter().map(|channel| channel.id.clone());
            let durability = if args.no_fsync {
                Durability::Unsynced
            } else {
                Durability::Synced
            };
            let (file, marks) = CursorFile::open(path, &endpoints.base(), ids, durability)?;
            (Some(Arc::new(file)), marks)
        }
        None => (None, None),
    };
    let (start, marks) = match kept.filter(|marks| !marks.is_empty()) {
        Some(marks) => (Start::At(marks.clone()), marks),
        None => (start.clone(), first_marks(&start)),
    };
    // A time is written once the server has answered; an event id is known already.
    if let Some(file) = file.as_ref().filter(|_| marks.event_id.is_some()) {
        file.save(&marks)?;
    }
    let settings = Settings {
        modes,
        channels,
        start,
        retries: args.retry,
        keeps_start: file.is_some(),
        silence: args.silence_timeout,
        interval: args.interval,
        max_message_bytes: args.max_message_size,
        dialect,
    };
    let subscription = Subscription::new(args.server.client()?, endpoints, settings);
    follow(
        &args,
        subscription,
        Context {
            form,
            only,
            file,
            marks,
            deadline,
        },
    )
    .await
}

/// What a run needs besides its arguments.
struct Context {
    form: Form,
    only: Option<String>,
    file: Option<Arc<CursorFile>>,
    marks: Marks,
    deadline: Option<Instant>,
}

async fn follow(args: &Args, subscription: Subscription, context: Context) -> anyhow::Result<Code> {
    let Context {
        form,
        only,
        file,
        marks,
        deadline,
    } = context;
    let stdout = output::Stdout::start()?;
    let tally = Arc::new(Tally::default());
    let mut watch = Watch::new(args);
    let (feed, mut queue) = queue::queue(args.idle_timeout);
    let mut stop: Stop<'_> = Box::pin(stop(deadline));
    let fail_on_gap = args.fail_on_gap;
    let only = only.as_deref();
    let (end, failed) = if let Some(command) = &args.exec {
        let ledger = Ledger::new(marks);
        let jobs = usize::from(args.jobs);
        let ack_on_success = args.ack_on_success;
        let runner = Runner {
            command,
            jobs,
            ack_on_success,
            fail_on_gap,
            only,
            stdout: &stdout,
            tally: &tally,
            file,
            ledger,
            failed: false,
        };
        fed(feed, subscription, runner.run(&mut queue, &mut watch, stop)).await?
    } else {
        let for_terminal = std::io::stdout().is_terminal();
        let printer = Printer {
            form: &form,
            for_terminal,
            only,
            stdout: &stdout,
            tally: Arc::clone(&tally),
            file,
            marks,
            fail_on_gap,
        };
        let end = tokio::select! {
            end = fed(feed, subscription, printer.run(&mut queue, &mut watch)) => end?,
            stopped = &mut stop => {
                stdout.settle(LAST_LINE).await;
                stopped?
            }
            () = stdout.hung_up() => End::Unread,
        };
        (end, false)
    };
    let code = watch.conclude(args, end, &tally);
    Ok(if failed && code == Code::Success {
        Code::Failed
    } else {
        code
    })
}

/// Runs `worker` while the subscription feeds it.
async fn fed<T>(
    feed: queue::EventSender,
    subscription: Subscription,
    worker: impl Future<Output = T>,
) -> T {
    let mut worker = std::pin::pin!(worker);
    tokio::select! {
        biased;
        end = &mut worker => return end,
        () = feed.read(subscription) => {}
    }
    worker.await
}

/// Returns when the time is over or a signal comes.
async fn stop(deadline: Option<Instant>) -> anyhow::Result<End> {
    let time = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = time => Ok(End::TimedOut),
        result = super::interrupted() => result.map(|()| End::Interrupted),
    }
}

/// The marks of a run that goes on nowhere.
fn first_marks(start: &Start) -> Marks {
    match start {
        Start::New | Start::At(_) => Marks::default(),
        Start::Since(since) => Marks {
            start: Some(crate::message::Position::new(*since, 0)),
            ..Marks::default()
        },
        Start::After(position) => Marks {
            start: Some(*position),
            ..Marks::default()
        },
        Start::AfterEvent(event_id) => Marks {
            event_id: Some(event_id.clone()),
            ..Marks::default()
        },
    }
}

fn form(args: &Args) -> Result<Form, Usage> {
    match (args.output, &args.template) {
        (Some(OutputForm::Template), None) => Err(Usage(
            "--output template needs a format (see --template)".to_owned(),
        )),
        (Some(OutputForm::Text | OutputForm::Json), Some(_)) => {
            Err(Usage("--template is for --output template".to_owned()))
        }
        (Some(OutputForm::Template) | None, Some(template)) => Ok(Form::Template(template.clone())),
        (Some(OutputForm::Json), None) => Ok(Form::Json),
        (Some(OutputForm::Text), None) => Ok(Form::Text),
        (None, None) if args.json => Ok(Form::Json),
        (None, None) if args.raw => Ok(Form::Raw),
        (None, None) => Ok(Form::Text),
    }
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| error.to_string())
}

fn retries(text: &str) -> Result<u32, String> {
    if text == "forever" {
        return Ok(u32::MAX);
    }
    text.parse()
        .map_err(|_| "write a number, or forever".to_owned())
}
