//! Completion never executes the command line.

use super::completion_shells::Shell;
use super::completions::{Home, SHELLS};

#[test]
fn no_completion_executes_the_typed_line() {
    let home = Home::new();
    for shell in SHELLS {
        for line in [
            "pushctl sub deploy",
            "pushctl sub deploy ",
            "pushctl sub rm ",
            "pushctl sub news deploy ",
            "pushctl rm deploy rm ",
            "pushctl pub deploy ",
            "pushctl stats deploy",
            "pushctl wait -c deploy",
            "pushctl sub -u deploy ",
            "pushctl sub $(touch ran)",
            "pushctl sub $(touch ran) ",
            "pushctl sub \"$(touch ran)",
            "pushctl sub `touch ran` ",
            "pushctl --url $(touch ran) sub ",
            "pushctl sub --url=$(touch ran) ",
            "pushctl sub --mode=$(touch ran)",
            "pushctl sub --cursor-file $(touch ran)/",
            "pushctl sub --cursor-file `touch ran`/",
            "pushctl sub --cursor-file=$(touch ran)/",
            "pushctl sub --cursor-file=/$(touch ran)/b/",
            "pushctl sub --cursor-file \"$(touch ran)/",
            "pushctl sub --cursor-file ${(e):-\\$(touch ran)}/",
            "pushctl sub --cursor-file *(e:'touch ran':)",
            "pushctl sub --cursor-file <(touch ran)",
            "pushctl check $(touch ran)/",
            "pushctl --config-file $(touch ran)/ sub ",
            "pushctl $(touch ran)/",
            "pushctl sub -H ",
            "pushctl sub a[$(touch ran)]",
            "pushctl $(touch ran) ",
            "pushctl sub ; deploy ",
        ] {
            // Lines that end a command complete something else.
            if line.contains(';') && shell != Shell::Fish {
                continue;
            }
            home.tab(shell, line);
            home.assert_nothing_ran(shell, line);
        }
    }
}

#[test]
fn a_token_command_of_a_typed_file_is_not_run_for_a_completion() {
    let home = Home::new();
    let url = &home.server.url;
    let config = format!(
        "default = \"x\"\n[servers.x]\nurl = \"{url}\"\ntoken_command = [\"touch\", \"ran\"]\n"
    );
    home.directory.write("typed.toml", &config);
    for shell in SHELLS {
        for line in [
            "pushctl sub --server x --config-file typed.toml ne",
            "pushctl --config-file=typed.toml --server=x sub ne",
        ] {
            assert_eq!(home.tab(shell, line).offered.len(), 2, "{shell:?}");
            home.assert_nothing_ran(shell, line);
        }
    }
}
