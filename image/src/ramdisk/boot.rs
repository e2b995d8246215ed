//! How init starts the enclave's program.

use super::{ENCLAVE, ONNXRUNTIME, WORKER};

/// The file `/etc/nacre/boot`. It is measured, and nothing else reaches the program's arguments or environment.
#[must_use]
pub fn boot_file() -> String {
    format!(
        "program {ENCLAVE}\n\
         argument nitro\n\
         argument --worker\n\
         argument {WORKER}\n\
         argument --onnxruntime\n\
         argument {ONNXRUNTIME}\n\
         # ONNX Runtime's own builds report usage to their maker unless they are told not to.\n\
         environment ORT_DISABLE_TELEMETRY=1\n\
         # A caller's connection is a descriptor; what is in memory must not reach a core dump.\n\
         limit nofile 65536\n\
         limit core 0\n\
         heartbeat yes\n"
    )
}
