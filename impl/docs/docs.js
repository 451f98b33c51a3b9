"use strict";
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null, // no requests to other hosts
  plugins: [withoutNestedLinks],
});

// Swagger UI puts a link into the button that unfolds an operation. Screen readers cannot use a link within a button, so the link
// has no address here. The button still changes the address of the page.
function withoutNestedLinks() {
  return {
    wrapComponents: {
      DeepLink: (Original, { React }) => (props) => React.createElement(Original, { ...props, enabled: false }),
    },
  };
}

// What Swagger UI leaves out for keyboards and screen readers: names of controls that show an icon or nothing, and focus for a part
// that scrolls. It draws them again and again.
const names = {
  "#servers": "Server",
  "textarea.body-param__text": "Request body",
  ".copy-to-clipboard button": "Copy to clipboard",
  ".close-modal": "Close",
  ".modal-btn.authorize": "Authorize: apply credentials",
};

new MutationObserver(() => {
  for (const [selector, name] of Object.entries(names)) {
    for (const element of document.querySelectorAll(selector)) {
      if (element.getAttribute("aria-label") !== name) element.setAttribute("aria-label", name);
    }
  }
  for (const element of document.querySelectorAll("pre.microlight:not([tabindex])")) element.tabIndex = 0;
  // Two tables, both a landmark without a name, are in one operation.
  for (const element of document.querySelectorAll("table[role=region]")) element.removeAttribute("role");
}).observe(document.querySelector("#reference"), { childList: true, subtree: true });

// The document's links between operations, #/TAG/ID, unfold the operation.
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#/"]');
  const operation = link && document.querySelector(`#operations-${CSS.escape(link.hash.slice("#/".length).replace("/", "-"))}`);
  if (!operation) return;
  event.preventDefault();
  const control = operation.querySelector(".opblock-summary-control");
  if (control.getAttribute("aria-expanded") !== "true") control.click();
  operation.scrollIntoView();
  control.focus();
});
