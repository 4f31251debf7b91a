//! `/live/`: all streams, as JSON, or as a page for whoever comes with a browser.

use std::fmt::{self, Display, Write};

use freshet_protocol::{Catalogue, CatalogueEntry};
use http::{HeaderMap, HeaderValue, header};

use super::{Response, body::Body, fields, reply};

/// Print `catalogue` as the request's `Accept` wants it.
pub(super) fn deliver(asked: &HeaderMap, catalogue: &Catalogue) -> Response {
    let (media_type, text) = if fields::accepts(asked, "text/html") {
        ("text/html; charset=utf-8", page(catalogue))
    } else {
        ("application/json", serde_json::to_string(catalogue).unwrap_or_default())
    };
    let mut response = reply::ok(Body::whole(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    // The page needs nothing from anywhere, and runs nothing.
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width\"><title>Freshet: streams</title><style>\
    body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;\
    color-scheme:light dark}table{border-collapse:collapse;width:100%}\
    th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #8884}\
    td.n{text-align:right;font-variant-numeric:tabular-nums}</style><h1>Streams</h1>";

fn page(catalogue: &Catalogue) -> String {
    let mut page = String::from(HEAD);
    if catalogue.streams.is_empty() {
        page += "<p>None yet. Try: <code>curl -T FILE http://THIS-ADDRESS/live/NAME</code></p>";
        return page;
    }
    page += "<table><tr><th>name<th>type<th>state<th>bytes<th>consumers</tr>";
    for entry in &catalogue.streams {
        // Writing to a String cannot fail.
        let _ = row(&mut page, entry);
    }
    page += "</table>";
    page
}

fn row(page: &mut String, entry: &CatalogueEntry) -> fmt::Result {
    let name = Escaped(entry.name.as_str());
    let media_type = Escaped(entry.content_type.as_deref().unwrap_or("unknown"));
    let state = match (entry.live, entry.length) {
        (_, Some(_)) => "complete",
        (true, None) => "live",
        (false, None) => "waiting for its origin",
    };
    let (bytes, consumers) = (entry.bytes, entry.consumers);
    write!(
        page,
        "<tr><td><a href=\"/live/{name}\">{name}</a><td>{media_type}<td>{state}\
         <td class=\"n\">{bytes}<td class=\"n\">{consumers}</tr>"
    )
}

/// A text that is nothing but text, between tags and in quotes.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use freshet_protocol::{ETag, Stamp};

    use super::*;

    #[test]
    fn what_an_origin_says_does_not_become_markup() {
        let entry = CatalogueEntry {
            id: 1,
            name: "radio".parse().unwrap(),
            etag: ETag::new("x").unwrap(),
            content_type: Some("\"><script>alert('&')</script>".into()),
            live: true,
            length: None,
            held: "bytes 0-1/*".into(),
            bytes: 2,
            consumers: 3,
            created: Stamp::from_nanos(1),
            updated: None,
        };
        let page = page(&Catalogue { streams: vec![entry] });
        assert!(page.contains("<a href=\"/live/radio\">radio</a>"));
        assert!(page.contains("&quot;&gt;&lt;script&gt;alert(&#39;&amp;&#39;)"), "{page}");
        assert!(!page.contains("<script"));
    }
}
