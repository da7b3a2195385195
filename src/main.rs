use std::process::ExitCode;

fn main() -> ExitCode {
    litesmith::cli::main()
}
