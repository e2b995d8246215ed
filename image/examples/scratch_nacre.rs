//! scratch
use clap::Parser;
#[derive(Parser)]
struct Cli {
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    c: C,
}
#[derive(clap::Subcommand)]
enum C {
    #[command(subcommand)]
    Image(nacre_image::cli::ImageCommand),
}
fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let C::Image(c) = cli.c;
    match nacre_image::cli::run(c, cli.json) {
        Ok(s) => s,
        Err(e) => {
            eprintln!("error ({}): {e}", e.code());
            9.into()
        }
    }
}
