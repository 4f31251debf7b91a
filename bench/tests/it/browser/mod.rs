//! The pages in a real Chromium: what a person sees, hears of and does.

mod driver;
mod group;
mod home;
mod operate;
mod watch;

use serde_json::Value;

use self::driver::{Browser, Look, text};

/// What axe-core finds that keeps people out: nothing that is serious or critical may be left.
#[track_caller]
fn assert_accessible(browser: &Browser, page: &str) {
    browser.run(&format!("{}; return null", include_str!("../../axe/axe.min.js")));
    let found = browser.run_async(
        "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => done(violations
           .filter(({ impact }) => impact === 'serious' || impact === 'critical')
           .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html)}`)),
           (error) => done([String(error)]))",
    );
    assert_eq!(found, Value::Array(Vec::new()), "{page}");
}

/// The ways that a page is looked at: a phone and a desk, light and dark.
const LOOKS: [Look; 4] = [
    Look { width: 390, dark: false },
    Look { width: 390, dark: true },
    Look { width: 1440, dark: false },
    Look { width: 1440, dark: true },
];

/// Nothing that is serious is wrong with the page in any way to look at it, and nothing sticks out.
fn look_at(browser: &Browser, page: &str) {
    for look in LOOKS {
        browser.look(look);
        let wide = browser.run("return document.documentElement.scrollWidth <= innerWidth");
        assert_eq!(wide, Value::Bool(true), "{page} is wider than {look:?}");
        assert_accessible(browser, &format!("{page} as {look:?}"));
        if let Some(folder) = std::env::var_os("FRESHET_PICTURES") {
            let shade = if look.dark { "dark" } else { "light" };
            let file = format!("{page}-{}-{shade}.png", look.width);
            browser.picture(&std::path::Path::new(&folder).join(file));
        }
    }
}
