"use strict";
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null, // nothing is asked of anybody else
});

// The document's links between operations, #operation/ID, are as Redoc has them. Here they unfold the operation.
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#operation/"]');
  const operation = link && document.querySelector(`.opblock[id$="-${CSS.escape(link.hash.slice("#operation/".length))}"]`);
  if (!operation) return;
  event.preventDefault();
  const control = operation.querySelector(".opblock-summary-control");
  if (control.getAttribute("aria-expanded") !== "true") control.click();
  operation.scrollIntoView();
  control.focus();
});
