//! A GGUF file's vocabulary as a `tokenizer.json` of Hugging Face's `tokenizers`.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value as Json, json};

use crate::gguf::{Array, Gguf, GgufError, Value};
use crate::llama::ImportError;

/// A file's words for a token's kind.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// How texts are cut before their pieces are looked up, by the name that files have for it.
const DIGITS_THEN_GPT2: &[&str] = &["smollm", "starcoder", "refact", "command-r"];
const GPT2: &[&str] = &["default", "gpt-2", "phi-2"];
const LLAMA_3: &[&str] = &["llama-bpe", "llama3", "llama-v3"];
const LLAMA_3_PATTERN: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// The tokenizer of a file.
///
/// # Errors
///
/// The file has none, or one of a kind that is not known here.
pub fn tokenizer<R>(file: &Gguf<R>) -> Result<Json, ImportError> {
    let vocabulary = Vocabulary::of(file)?;
    match file.text("tokenizer.ggml.model")? {
        "gpt2" => byte_level(file, &vocabulary),
        "llama" => sentence_pieces(file, &vocabulary),
        other => Err(ImportError::Unsupported(format!("the tokenizer {other:?}"))),
    }
}

/// What `tokenizer_config.json` says beside it: special tokens by name, and the chat template.
///
/// # Errors
///
/// A special token that is not in the vocabulary.
pub fn settings<R>(file: &Gguf<R>) -> Result<Json, ImportError> {
    let tokens = file.texts("tokenizer.ggml.tokens")?;
    let mut settings = serde_json::Map::new();
    for (key, name) in [
        ("bos_token_id", "bos_token"),
        ("eos_token_id", "eos_token"),
        ("unknown_token_id", "unk_token"),
        ("padding_token_id", "pad_token"),
    ] {
        let key = format!("tokenizer.ggml.{key}");
        let Some(value) = file.get(&key) else {
            continue;
        };
        let id = value.whole().and_then(|id| usize::try_from(id).ok());
        let token = id.and_then(|id| tokens.get(id)).ok_or_else(|| {
            ImportError::Contradiction(format!("{key} is no token of the vocabulary"))
        })?;
        settings.insert(name.to_owned(), json!(token));
    }
    if let Some(Value::Text(template)) = file.get("tokenizer.chat_template") {
        settings.insert("chat_template".to_owned(), json!(template));
    }
    Ok(Json::Object(settings))
}

struct Vocabulary<'a> {
    tokens: &'a [String],
    kinds: &'a [i64],
    by_text: HashMap<&'a str, usize>,
}

impl<'a> Vocabulary<'a> {
    fn of<R>(file: &'a Gguf<R>) -> Result<Self, ImportError> {
        let tokens = file.texts("tokenizer.ggml.tokens")?;
        let kinds: &[i64] = match file.get("tokenizer.ggml.token_type") {
            Some(Value::Array(Array::Whole(kinds))) if kinds.len() == tokens.len() => kinds,
            None => &[],
            Some(_) => {
                return Err(ImportError::Contradiction(
                    "there are not as many kinds of tokens as tokens".to_owned(),
                ));
            }
        };
        let numbered = tokens.iter().enumerate();
        let by_text: HashMap<_, _> = numbered.map(|(id, text)| (text.as_str(), id)).collect();
        if by_text.len() != tokens.len() {
            return Err(ImportError::Contradiction(
                "a token is in the vocabulary twice".to_owned(),
            ));
        }
        Ok(Self {
            tokens,
            kinds,
            by_text,
        })
    }

    fn ids(&self) -> BTreeMap<&str, usize> {
        self.by_text.iter().map(|(text, id)| (*text, *id)).collect()
    }

    /// Tokens that are found before a text is cut.
    fn added(&self) -> Vec<Json> {
        let kinds = self.kinds.iter().zip(self.tokens).enumerate();
        kinds
            .filter(|(_, (kind, _))| matches!(**kind, CONTROL | USER_DEFINED))
            .map(|(id, (kind, text))| {
                json!({
                    "id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": *kind == CONTROL,
                })
            })
            .collect()
    }
}

fn byte_level<R>(file: &Gguf<R>, vocabulary: &Vocabulary<'_>) -> Result<Json, ImportError> {
    let cut = match file.get("tokenizer.ggml.pre") {
        None => "default",
        Some(Value::Text(name)) => name,
        Some(_) => return Err(GgufError::Missing("tokenizer.ggml.pre".to_owned()).into()),
    };
    let bytes = |own_pattern: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": own_pattern });
    let in_turn =
        |first: Json, then: Json| json!({ "type": "Sequence", "pretokenizers": [first, then] });
    let pre_tokenizer = if GPT2.contains(&cut) {
        bytes(true)
    } else if DIGITS_THEN_GPT2.contains(&cut) {
        in_turn(
            json!({ "type": "Digits", "individual_digits": true }),
            bytes(true),
        )
    } else if LLAMA_3.contains(&cut) {
        let pattern = json!({ "Regex": LLAMA_3_PATTERN });
        let split =
            json!({ "type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false });
        in_turn(split, bytes(false))
    } else {
        return Err(ImportError::Unsupported(format!(
            "the tokenizer's cut {cut:?}"
        )));
    };
    let merges: Result<Vec<_>, _> = file
        .texts("tokenizer.ggml.merges")?
        .iter()
        .map(|merge| {
            merge.split_once(' ').ok_or_else(|| {
                ImportError::Contradiction(format!("the merge {merge:?} is not of two pieces"))
            })
        })
        .collect();
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": vocabulary.added(),
        "normalizer": null,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": LLAMA_3.contains(&cut),
            "vocab": vocabulary.ids(), "merges": merges?,
        },
    }))
}

/// SentencePiece's byte pairs: the pieces have scores instead of merges, and the better score is merged first.
fn sentence_pieces<R>(file: &Gguf<R>, vocabulary: &Vocabulary<'_>) -> Result<Json, ImportError> {
    let scores = match file.get("tokenizer.ggml.scores") {
        Some(Value::Array(Array::Floats(scores))) if scores.len() == vocabulary.tokens.len() => {
            scores
        }
        _ => return Err(GgufError::Missing("tokenizer.ggml.scores".to_owned()).into()),
    };
    let mut merges = Vec::new();
    for (id, piece) in vocabulary.tokens.iter().enumerate() {
        for (at, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(at);
            let ends = (vocabulary.by_text.get(left), vocabulary.by_text.get(right));
            if let (Some(left_id), Some(right_id)) = ends {
                merges.push((scores[id], *left_id, *right_id, left, right));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let merges: Vec<_> = merges.iter().map(|merge| (merge.3, merge.4)).collect();
    let prefix = !matches!(
        file.get("tokenizer.ggml.add_space_prefix"),
        Some(Value::Bool(false))
    );
    let space = |from: &str, to: &str| json!({ "type": "Replace", "pattern": { "String": from }, "content": to });
    let mut normalizers = vec![space(" ", "▁")];
    let mut decoders = vec![
        space("▁", " "),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if prefix {
        normalizers.insert(0, json!({ "type": "Prepend", "prepend": "▁" }));
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    let unknown = file.whole("tokenizer.ggml.unknown_token_id").unwrap_or(0);
    let unknown = usize::try_from(unknown)
        .ok()
        .and_then(|id| vocabulary.tokens.get(id));
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": vocabulary.added(),
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": { "type": "Sequence", "decoders": decoders },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocabulary.ids(), "merges": merges,
        },
    }))
}
