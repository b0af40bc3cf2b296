//! A browser tab with separate cookies and storage.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::chromium::Chromium;
use crate::support::wait_until;

/// An open page, closed on drop.
pub(super) struct Page {
    context: String,
    session: String,
}

impl Page {
    /// Opens an address and waits until the page has loaded.
    pub(super) fn open(url: &str) -> Self {
        let browser = Chromium::shared();
        let text = |value: &Value| value.as_str().expect("an id is a text").to_owned();
        let context = text(
            &browser.send(None, "Target.createBrowserContext", &json!({}))["browserContextId"],
        );
        let target = browser.send(
            None,
            "Target.createTarget",
            &json!({"url": "about:blank", "browserContextId": context}),
        );
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let page = Self {
            context,
            session: text(&browser.send(None, "Target.attachToTarget", &attach)["sessionId"]),
        };
        page.go(url);
        page
    }

    /// Navigates to another address.
    pub(super) fn go(&self, url: &str) {
        let response = self.send("Page.navigate", &json!({"url": url}));
        assert!(response.get("errorText").is_none(), "{url}: {response}");
        wait_until(&format!("{url} has loaded"), || {
            self.evaluate("document.readyState") == "complete"
        });
    }

    /// A command of the DevTools protocol for this page.
    pub(super) fn send(&self, method: &str, parameters: &Value) -> Value {
        Chromium::shared().send(Some(&self.session), method, parameters)
    }

    /// The value of an expression; a promise is waited for.
    ///
    /// # Panics
    /// If the expression throws, with the exception.
    pub(super) fn evaluate(&self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "awaitPromise": true,
            "returnByValue": true, "userGesture": true});
        let response = self.send("Runtime.evaluate", &parameters);
        assert!(
            response.get("exceptionDetails").is_none(),
            "{expression}: {}",
            response["exceptionDetails"]
        );
        response["result"]
            .get("value")
            .cloned()
            .unwrap_or(Value::Null)
    }

    /// Waits until an expression is true.
    pub(super) fn wait(&self, expression: &str) {
        wait_until(expression, || self.evaluate(expression) == true);
    }

    /// Waits until the array has at least as many values as `expected`, and compares values and
    /// order.
    pub(super) fn expect(&self, array: &str, expected: &Value) {
        let count = expected.as_array().map_or(0, Vec::len);
        let mut last = Value::Null;
        wait_until(&format!("{array} has {count} values"), || {
            last = self.evaluate(array);
            last.as_array().map_or(0, Vec::len) >= count || {
                // The received values are more useful in a failure than the elapsed time.
                assert!(
                    starts_like(&last, expected),
                    "{array} is {last}, expected {expected}"
                );
                false
            }
        });
        assert_eq!(&last, expected, "{array}");
    }

    /// A picture of the window, in PNG.
    pub(super) fn picture(&self, width: u32, height: u32, dark: bool) -> Vec<u8> {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1,
            "mobile": width < 600});
        self.send("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = if dark { "dark" } else { "light" };
        self.send(
            "Emulation.setEmulatedMedia",
            &json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
        let picture = self.send("Page.captureScreenshot", &json!({"format": "png"}));
        STANDARD
            .decode(picture["data"].as_str().expect("a picture in base64"))
            .expect("base64")
    }
}

/// Whether the values so far are the first ones of `expected`.
fn starts_like(values: &Value, expected: &Value) -> bool {
    let (Some(values), Some(expected)) = (values.as_array(), expected.as_array()) else {
        return true;
    };
    values
        .iter()
        .zip(expected)
        .all(|(value, expected)| value == expected)
}

impl Drop for Page {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            Chromium::shared().send(
                None,
                "Target.disposeBrowserContext",
                &json!({"browserContextId": self.context}),
            );
        }
    }
}
