//! A conversation as the prompt that its model was taught: chat templates, as Hugging Face's `tokenizer_config.json` has them.
//!
//! A template is the model author's program in Jinja, and a stranger's: it gets so many steps and so much text, reads nothing but
//! what it is given, and ends.

use std::fmt;
use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde_json::Value as Json;

/// Longest template, in bytes.
pub const MAX_TEMPLATE: usize = 256 * 1024;
/// Most steps of one rendering.
pub const STEPS: u64 = 5_000_000;
/// Deepest that macros and includes call each other.
const DEPTH: usize = 64;
const NAME: &str = "chat";

/// A template that has been read.
pub struct ChatTemplate {
    environment: Environment<'static>,
}

/// What a prompt is made of.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    /// `messages`, as OpenAI has them: a list of objects with `role` and `content`.
    pub messages: Json,
    /// `tools`, where the request has some.
    pub tools: Option<Json>,
    /// Whether the prompt ends where the assistant's answer begins.
    pub add_generation_prompt: bool,
    /// The model's special tokens by their names in the template: `bos_token`, `eos_token`, …
    pub special: Vec<(String, String)>,
    /// What time it is for `strftime_now`, Unix seconds, UTC.
    pub now: i64,
    /// Longest prompt, in bytes.
    pub longest: usize,
}

/// Why there is no prompt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// Longer than [`MAX_TEMPLATE`].
    #[error("the chat template is longer than {MAX_TEMPLATE} bytes")]
    TooLong,
    /// Not Jinja, or a part of it that is not known here.
    #[error("the chat template cannot be read: {0}")]
    Syntax(String),
    /// The template does not take this conversation, in its own words.
    #[error("the model does not take this conversation: {0}")]
    Refused(String),
    /// The prompt is longer than it may be.
    #[error("the conversation makes a prompt of more than {0} bytes")]
    PromptTooLong(usize),
    /// It took more than [`STEPS`] steps.
    #[error("the chat template takes too long")]
    TooManySteps,
    /// It fails in another way.
    #[error("the chat template fails: {0}")]
    Failed(String),
}

impl TemplateError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong | Self::Syntax(_) => "template-invalid",
            Self::Refused(_) => "conversation-refused",
            Self::PromptTooLong(_) => "prompt-too-long",
            Self::TooManySteps | Self::Failed(_) => "template-failed",
        }
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate").finish_non_exhaustive()
    }
}

impl ChatTemplate {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// `TooLong`, `Syntax`.
    pub fn new(source: &str) -> Result<Self, TemplateError> {
        if source.len() > MAX_TEMPLATE {
            return Err(TemplateError::TooLong);
        }
        let mut environment = Environment::new();
        // As Hugging Face sets Jinja up.
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true);
        let syntax = syntax.build();
        environment.set_syntax(syntax.map_err(|error| TemplateError::Syntax(in_short(&error)))?);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_recursion_limit(DEPTH);
        environment.set_fuel(Some(STEPS));
        environment.add_function("raise_exception", raise_exception);
        environment.add_filter("tojson", to_json);
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| TemplateError::Syntax(in_short(&error)))?;
        Ok(Self { environment })
    }

    /// The prompt of a conversation.
    ///
    /// # Errors
    ///
    /// `Refused`, `PromptTooLong`, `TooManySteps`, `Failed`.
    pub fn render(&self, conversation: &Conversation) -> Result<String, TemplateError> {
        let mut values: Vec<(&str, Value)> = vec![
            ("messages", Value::from(Serde(&conversation.messages))),
            (
                "add_generation_prompt",
                Value::from(conversation.add_generation_prompt),
            ),
        ];
        if let Some(tools) = &conversation.tools {
            values.push(("tools", Value::from(Serde(tools))));
        }
        for (name, token) in &conversation.special {
            values.push((name, Value::from(token.as_str())));
        }
        let now = conversation.now;
        let clock = move |format: &str| strftime(now, format);
        values.push(("strftime_now", Value::from_function(clock)));
        let template = self.environment.get_template(NAME).map_err(failed)?;
        let mut prompt = Bounded {
            text: Vec::new(),
            longest: conversation.longest,
            full: false,
        };
        let context = Value::from_pairs(values);
        let rendered = template.render_captured_to(context, &mut prompt);
        if prompt.full {
            return Err(TemplateError::PromptTooLong(conversation.longest));
        }
        rendered.map_err(failed)?;
        String::from_utf8(prompt.text)
            .map_err(|error| TemplateError::Failed(error.utf8_error().to_string()))
    }
}

/// A template's own refusal.
fn raise_exception(words: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, words).with_source(Raised))
}

#[derive(Debug, thiserror::Error)]
#[error("raised by the template")]
struct Raised;

fn failed(error: Error) -> TemplateError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut words = error.detail().unwrap_or_default();
    while let Some(one) = cause {
        if one.is::<Raised>() {
            return TemplateError::Refused(words.to_owned());
        }
        if let Some(inner) = one.downcast_ref::<Error>() {
            words = inner.detail().unwrap_or(words);
        }
        cause = one.source();
    }
    match error.kind() {
        ErrorKind::OutOfFuel => TemplateError::TooManySteps,
        _ => TemplateError::Failed(in_short(&error)),
    }
}

fn in_short(error: &Error) -> String {
    const SHOWN: usize = 200;
    let text = match error.line() {
        Some(line) => format!("line {line}: {error}"),
        None => error.to_string(),
    };
    text.chars().take(SHOWN).collect()
}

/// JSON as Python writes it, with spaces after `,` and `:`; with `indent=n` on lines of their own.
fn to_json(value: Serde<Json>, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Python's options that change nothing here.
    let _: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let mut out = String::new();
    write_json(&mut out, &value.0, indent.map(|indent| indent.min(16)), 0);
    Ok(out)
}

fn write_json(out: &mut String, value: &Json, indent: Option<usize>, depth: usize) {
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    };
    let separator = if indent.is_some() { "," } else { ", " };
    match value {
        Json::Array(items) if !items.is_empty() => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(separator);
                }
                line(out, depth + 1);
                write_json(out, item, indent, depth + 1);
            }
            line(out, depth);
            out.push(']');
        }
        Json::Object(fields) if !fields.is_empty() => {
            out.push('{');
            for (index, (name, field)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push_str(separator);
                }
                line(out, depth + 1);
                out.push_str(&Json::from(name.as_str()).to_string());
                out.push_str(": ");
                write_json(out, field, indent, depth + 1);
            }
            line(out, depth);
            out.push('}');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

fn strftime(now: i64, format: &str) -> Result<String, Error> {
    const LONGEST: usize = 256;
    let wrong = |error: &dyn fmt::Display| {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("strftime_now: {error}"),
        )
    };
    if format.len() > LONGEST {
        return Err(wrong(&"the format is too long"));
    }
    let time = jiff::Timestamp::from_second(now).map_err(|error| wrong(&error))?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC);
    let text = jiff::fmt::strtime::format(format, &time).map_err(|error| wrong(&error))?;
    Ok(text)
}

/// Text up to a length.
struct Bounded {
    text: Vec<u8>,
    longest: usize,
    full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > self.longest {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As models of the ChatML family have it.
    const CHATML: &str = "\
{% for message in messages %}
    {% if loop.first and message['role'] != 'system' %}
        {{- '<|im_start|>system\\nBe brief.<|im_end|>\\n' }}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content.strip() + '<|im_end|>' + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}";

    fn conversation(messages: Json) -> Conversation {
        Conversation {
            messages,
            longest: 4096,
            ..Conversation::default()
        }
    }

    fn rendered(template: &str, conversation: &Conversation) -> Result<String, TemplateError> {
        ChatTemplate::new(template)?.render(conversation)
    }

    #[test]
    fn a_conversation_becomes_a_prompt() {
        let mut talk = conversation(json!([{ "role": "user", "content": " Hi \n" }]));
        talk.add_generation_prompt = true;
        let expected = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
        assert_eq!(rendered(CHATML, &talk).unwrap(), expected);
    }

    #[test]
    fn what_hugging_face_gives_templates_is_there() {
        let mut talk = conversation(json!([]));
        talk.special = vec![("bos_token".into(), "<s>".into())];
        talk.tools = Some(json!([{ "name": "f", "parameters": {} }]));
        talk.now = 1_700_000_000;
        let said = |template: &str| rendered(template, &talk).unwrap();
        assert_eq!(said("{{ bos_token }}"), "<s>");
        assert_eq!(said("{{ strftime_now('%d %b %Y') }}"), "14 Nov 2023");
        assert_eq!(
            said("{{ tools | tojson }}"),
            r#"[{"name": "f", "parameters": {}}]"#
        );
        assert_eq!(
            said("{{ {'a': [1]} | tojson(indent=2) }}"),
            "{\n  \"a\": [\n    1\n  ]\n}"
        );
        assert_eq!(said("{{ '<é>' | tojson }}"), "\"<é>\"");
        assert_eq!(
            said(
                "{% for x in [1, 2, 3] %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}"
            ),
            "1"
        );
        let namespace = "{% set ns = namespace(n=0) %}{% for x in [1, 2] %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}";
        assert_eq!(said(namespace), "3");
        assert_eq!(said("{{ 'a b'.split(' ')[1].upper() }}"), "B");
    }

    #[test]
    fn a_template_refuses_in_its_own_words() {
        let template =
            "{% if messages|length > 0 %}{{ raise_exception('roles must alternate') }}{% endif %}";
        let error = rendered(template, &conversation(json!([1]))).unwrap_err();
        assert_eq!(error, TemplateError::Refused("roles must alternate".into()));
        let within = "{% macro m() %}{{ raise_exception('no') }}{% endmacro %}{{ m() }}";
        let error = rendered(within, &conversation(json!([]))).unwrap_err();
        assert_eq!(error, TemplateError::Refused("no".into()));
    }

    #[test]
    fn hostile_templates_end() {
        let code = |template: &str| {
            rendered(template, &conversation(json!([])))
                .unwrap_err()
                .code()
        };
        let loops =
            "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}";
        assert_eq!(code(loops), "template-failed");
        assert_eq!(
            code("{% for a in range(10000) %}{{ a }}{% endfor %}"),
            "prompt-too-long"
        );
        assert_eq!(
            code("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
            "template-failed"
        );
        assert_eq!(code("{% if %}"), "template-invalid");
        assert_eq!(code(&" ".repeat(MAX_TEMPLATE + 1)), "template-invalid");
        assert_eq!(code("{% include '/etc/passwd' %}"), "template-invalid");
        assert_eq!(code("{{ nobody.name }}"), "template-failed");
        assert_eq!(code("{{ strftime_now('%!') }}"), "template-failed");
    }
}
