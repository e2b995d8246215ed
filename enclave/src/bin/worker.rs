//! `nacre-worker`: runs one function's model behind walls; started by the enclave, with a socket as standard input.

fn main() -> std::process::ExitCode {
    nacre_enclave::worker::serve::main()
}
