//! Reads the fenced blocks of a page, with the comments above them, and the session of a picture.

use std::iter::Peekable;
use std::str::Lines;

use regex::Regex;

/// A block of a page that matters to the test.
pub(super) struct Block {
    pub(super) kind: Kind,
}

/// What the test does with a block.
pub(super) enum Kind {
    /// Writes it to a file.
    File { name: String, text: String },
    /// Runs its commands.
    Run { steps: Vec<Step> },
    /// Skips it; the page says why.
    NotRun,
}

/// A command.
pub(super) struct Step {
    /// The line of the page.
    pub(super) line: usize,
    pub(super) command: String,
    /// What it prints; `None` where the block shows no output.
    pub(super) output: Option<String>,
}

impl Step {
    /// The server of a page that does not start one itself.
    pub(super) fn server() -> Self {
        Self {
            line: 0,
            command: "pushctl serve".to_owned(),
            output: None,
        }
    }
}

impl Block {
    /// The commands that run.
    pub(super) fn steps(&self) -> Option<&[Step]> {
        match &self.kind {
            Kind::Run { steps } => Some(steps),
            _ => None,
        }
    }
}

/// The comments above a block.
#[derive(Default)]
struct Marks {
    first: Vec<String>,
    file: Option<String>,
    is_not_run: bool,
}

/// The blocks of a page, in order.
///
/// # Errors
/// The line and what is wrong with it: a misspelt comment, a language that the test does not know,
/// a console block that does not begin with a command.
pub(super) fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut marks = Marks::default();
    let mut lines = text.lines();
    let mut number = 0;
    while let Some(line) = lines.next() {
        number += 1;
        let Some(language) = line.strip_prefix("```") else {
            if line.starts_with("<!-- ") {
                marks
                    .read(line)
                    .map_err(|problem| format!("{number}: {problem}"))?;
            } else {
                marks = Marks::default();
            }
            continue;
        };
        let content: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let start = number + 1;
        number += content.len() + 1;
        let kind = kind(language, std::mem::take(&mut marks), &content, start)
            .map_err(|problem| format!("{start}: {problem}"))?;
        blocks.extend(kind.map(|kind| Block { kind }));
    }
    Ok(blocks)
}

/// The session that a picture of a terminal shows, as one console block: its lines are the `text`
/// elements with `xml:space`.
///
/// # Errors
/// As [`blocks`].
pub(super) fn picture(svg: &str) -> Result<Vec<Block>, String> {
    let line =
        Regex::new(r#"<text [^>]*xml:space="preserve">(.*?)</text>"#).expect("a valid pattern");
    let tag = Regex::new("<[^>]*>").expect("a valid pattern");
    let lines: Vec<_> = line
        .captures_iter(svg)
        .map(|found| {
            let text = tag.replace_all(&found[1], "");
            text.replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&amp;", "&")
        })
        .collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let steps = console(&lines, 1)?;
    Ok(vec![Block {
        kind: Kind::Run { steps },
    }])
}

impl Marks {
    fn read(&mut self, line: &str) -> Result<(), String> {
        let comment = line.trim_start_matches("<!-- ").trim_end_matches(" -->");
        match comment.split_once(": ") {
            Some(("first", command)) => self.first.push(command.to_owned()),
            Some(("file", name)) => self.file = Some(name.to_owned()),
            Some(("not run", reason)) if !reason.is_empty() => self.is_not_run = true,
            _ => return Err(format!("unknown comment '{line}'")),
        }
        Ok(())
    }
}

fn kind(
    language: &str,
    marks: Marks,
    content: &[&str],
    start: usize,
) -> Result<Option<Kind>, String> {
    if let Some(name) = marks.file {
        return Ok(Some(Kind::File {
            name,
            text: content.join("\n") + "\n",
        }));
    }
    let steps = match language {
        _ if marks.is_not_run => return Ok(Some(Kind::NotRun)),
        "console" => console(content, start)?,
        "sh" => vec![Step {
            line: start,
            command: content.join("\n"),
            output: None,
        }],
        "json" | "nginx" | "toml" | "html" | "js" => return Ok(None),
        _ => return Err(format!("unknown language '{language}' of a block")),
    };
    let first = marks.first.into_iter().map(|command| Step {
        line: start,
        command,
        output: None,
    });
    Ok(Some(Kind::Run {
        steps: first.chain(steps).collect(),
    }))
}

/// The commands of a console block.
fn console(content: &[&str], start: usize) -> Result<Vec<Step>, String> {
    let shows_output = has_output(content.join("\n").lines().peekable());
    let mut steps: Vec<Step> = Vec::new();
    let mut continues = false;
    for (line, text) in (start..).zip(content) {
        if let Some(command) = text.strip_prefix("$ ") {
            let output = shows_output.then(String::new);
            steps.push(Step {
                line,
                command: command.to_owned(),
                output,
            });
        } else {
            let step = steps
                .last_mut()
                .ok_or("the block does not begin with a command")?;
            let target = if continues {
                Some(&mut step.command)
            } else {
                step.output.as_mut()
            };
            let target = target.expect("a block with output has an output for each command");
            if continues || !target.is_empty() {
                target.push('\n');
            }
            target.push_str(text);
        }
        continues = is_continued(text) && (continues || text.starts_with("$ "));
    }
    Ok(steps)
}

/// Reports whether lines of a console block are neither commands nor their continuations.
fn has_output(mut lines: Peekable<Lines<'_>>) -> bool {
    let mut continues = false;
    lines.any(|line| {
        let is_command = continues || line.starts_with("$ ");
        continues = is_command && is_continued(line);
        !is_command
    })
}

fn is_continued(line: &str) -> bool {
    ["|", "\\", "&&"].iter().any(|end| line.ends_with(end))
}
