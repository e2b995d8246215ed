//! `/docs`: the OpenAPI document as a page for people, made here once. It has no script and asks no other host for anything,
//! and its Content-Security-Policy holds it to that.

use core::fmt::Write as _;

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse as _;
use axum::routing::{MethodRouter, get};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use utoipa::openapi::OpenApi;

use super::Shared;

const STYLE: &str = include_str!("docs.css");

/// The API's documentation, as a page.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "docs",
    tag = "probes",
    responses((status = 200, description = "The page", body = String, content_type = "text/html")),
    security(()),
)]
#[expect(
    dead_code,
    reason = "describes the route that serves the finished page"
)]
pub(super) fn page() {}

/// The route of the finished page.
pub(super) fn route(document: &OpenApi) -> MethodRouter<Shared> {
    let document = serde_json::to_value(document).unwrap_or_default();
    let page = Bytes::from(render(&document));
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    get(move || async move {
        let headers = [
            (CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
            (CONTENT_SECURITY_POLICY, policy),
            (CACHE_CONTROL, "no-cache".to_owned()),
        ];
        (headers, page).into_response()
    })
}

fn render(document: &Value) -> String {
    let mut page = Page(String::new());
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.raw("<meta name=\"viewport\" content=\"width=device-width\"><title>");
    page.text(word(&document["info"]["title"]));
    page.raw("</title><style>")
        .raw(STYLE)
        .raw("</style></head><body><header><h1>");
    page.text(word(&document["info"]["title"]));
    page.raw("</h1>")
        .prose(word(&document["info"]["description"]));
    page.raw("<p>For programs: <a href=\"openapi.json\">openapi.json</a>.</p></header>");
    page.contents(document);
    page.raw("<main>");
    for tag in document["tags"].as_array().into_iter().flatten() {
        page.tag(document, tag);
    }
    page.raw("<section><h2 id=\"schemas\">Schemas</h2>");
    for (name, schema) in entries(&document["components"]["schemas"]) {
        page.schema(name, schema);
    }
    page.raw("</section></main></body></html>\n");
    page.0
}

/// HTML as it grows. What is not markup of ours is escaped.
struct Page(String);

impl Page {
    fn raw(&mut self, html: &str) -> &mut Self {
        self.0.push_str(html);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// Text with `code` in it.
    fn inline(&mut self, text: &str) -> &mut Self {
        for (at, part) in text.split('`').enumerate() {
            if at % 2 == 1 {
                self.raw("<code>").text(part).raw("</code>");
            } else {
                self.text(part);
            }
        }
        self
    }

    fn prose(&mut self, text: &str) -> &mut Self {
        for paragraph in text.split("\n\n").filter(|p| !p.trim().is_empty()) {
            self.raw("<p>").inline(paragraph).raw("</p>");
        }
        self
    }

    fn contents(&mut self, document: &Value) {
        self.raw("<nav><ul>");
        for (path, method, operation) in operations(document) {
            self.raw("<li><a href=\"#")
                .text(id(operation))
                .raw("\"><b>");
            self.text(&method.to_uppercase()).raw("</b> ").text(path);
            self.raw("</a></li>");
        }
        self.raw("<li><a href=\"#schemas\">Schemas</a></li></ul></nav>");
    }

    fn tag(&mut self, document: &Value, tag: &Value) {
        let name = word(&tag["name"]);
        self.raw("<section><h2>")
            .text(name)
            .raw("</h2>")
            .prose(word(&tag["description"]));
        for (path, method, operation) in operations(document) {
            let tags = operation["tags"].as_array().into_iter().flatten();
            if tags.into_iter().any(|of| of == name) {
                self.operation(path, method, operation);
            }
        }
        self.raw("</section>");
    }

    fn operation(&mut self, path: &str, method: &str, operation: &Value) {
        self.raw("<article><h3 id=\"")
            .text(id(operation))
            .raw("\"><b>");
        self.text(&method.to_uppercase())
            .raw("</b> <code>")
            .text(path)
            .raw("</code></h3>");
        self.prose(word(&operation["summary"]));
        self.prose(word(&operation["description"]));
        self.raw("<p class=\"who\">")
            .inline(&who(operation))
            .raw("</p>");
        let parameters = operation["parameters"].as_array();
        if let Some(parameters) = parameters.filter(|all| !all.is_empty()) {
            self.raw("<table><thead><tr><th>Parameter<th>In<th>Type<th></tr></thead><tbody>");
            for parameter in parameters {
                self.raw("<tr><td><code>")
                    .text(word(&parameter["name"]))
                    .raw("</code>");
                if parameter["required"] == true {
                    self.raw(" required");
                }
                self.raw("<td>").text(word(&parameter["in"])).raw("<td>");
                self.kind(&parameter["schema"]);
                self.raw("<td>")
                    .inline(word(&parameter["description"]))
                    .raw("</tr>");
            }
            self.raw("</tbody></table>");
        }
        for (media, content) in entries(&operation["requestBody"]["content"]) {
            self.raw("<p>Body: <code>").text(media).raw("</code> ");
            self.kind(&content["schema"]);
            self.raw("</p>");
        }
        self.raw("<table><thead><tr><th>Status<th>Body<th></tr></thead><tbody>");
        for (status, response) in entries(&operation["responses"]) {
            self.raw("<tr><td>").text(status).raw("<td>");
            for (_, content) in entries(&response["content"]) {
                self.kind(&content["schema"]);
            }
            self.raw("<td>")
                .inline(word(&response["description"]))
                .raw("</tr>");
        }
        self.raw("</tbody></table></article>");
    }

    fn schema(&mut self, name: &str, schema: &Value) {
        self.raw("<article><h3 id=\"schema-")
            .text(name)
            .raw("\"><code>")
            .text(name);
        self.raw("</code></h3>").prose(word(&schema["description"]));
        let all = ["oneOf", "allOf", "anyOf"].map(|key| schema[key].as_array());
        let parts = all.into_iter().flatten().flatten();
        let mut shown = false;
        for part in core::iter::once(schema).chain(parts) {
            if part["properties"].is_object() {
                self.properties(part);
                shown = true;
            }
        }
        if !shown {
            self.raw("<p>");
            self.kind(schema);
            self.raw("</p>");
        }
        self.raw("</article>");
    }

    fn properties(&mut self, schema: &Value) {
        self.raw("<table><thead><tr><th>Member<th>Type<th></tr></thead><tbody>");
        let required = schema["required"].as_array();
        for (name, property) in entries(&schema["properties"]) {
            self.raw("<tr><td><code>").text(name).raw("</code>");
            if required.is_some_and(|all| all.iter().any(|one| one == name)) {
                self.raw(" required");
            }
            self.raw("<td>");
            self.kind(property);
            self.raw("<td>")
                .inline(word(&property["description"]))
                .raw("</tr>");
        }
        self.raw("</tbody></table>");
    }

    /// A schema in a few words.
    fn kind(&mut self, schema: &Value) {
        if let Some(name) = schema["$ref"]
            .as_str()
            .and_then(|path| path.rsplit('/').next())
        {
            self.raw("<a href=\"#schema-")
                .text(name)
                .raw("\">")
                .text(name)
                .raw("</a>");
            return;
        }
        if let Some(words) = schema["enum"].as_array() {
            let words = words.iter().map(|word| format!("`{}`", self::word(word)));
            self.inline(&words.collect::<Vec<_>>().join(" "));
            return;
        }
        for key in ["oneOf", "allOf", "anyOf"] {
            for (at, part) in schema[key].as_array().into_iter().flatten().enumerate() {
                if at > 0 {
                    self.raw(" or ");
                }
                self.kind(part);
            }
        }
        let kinds: Vec<_> = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().map(word).collect(),
            kind => vec![word(kind)],
        };
        self.text(&kinds.join(" or "));
        if schema["items"].is_object() {
            self.raw(" of ");
            self.kind(&schema["items"]);
        }
        for (bound, sign) in [("minimum", "≥"), ("maximum", "≤")] {
            if let Some(number) = schema[bound].as_u64() {
                let _ = write!(self.0, " {sign} {number}");
            }
        }
    }
}

/// Whom an operation serves, in words.
fn who(operation: &Value) -> String {
    let schemes = operation["security"].as_array().into_iter().flatten();
    let words = schemes.map(|scheme| match scheme.as_object() {
        Some(scheme) if scheme.contains_key("node_token") => "the node's token".to_owned(),
        Some(scheme) if scheme.contains_key("api_key") => {
            let scopes = scheme["api_key"].as_array().into_iter().flatten();
            let scopes: Vec<_> = scopes.map(|scope| format!("`{}`", word(scope))).collect();
            format!("an API key with {}", scopes.join(" and "))
        }
        _ => "no token".to_owned(),
    });
    let words: Vec<_> = words.collect();
    format!("Needs {}.", words.join(", or "))
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    entries(&document["paths"]).flat_map(|(path, item)| {
        entries(item).map(move |(method, operation)| (path, method, operation))
    })
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let map = value.as_object().into_iter().flat_map(Map::iter);
    map.map(|(key, value)| (key.as_str(), value))
}

fn id(operation: &Value) -> &str {
    word(&operation["operationId"])
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
