// Calls go to the server that sent this page, by whichever name and prefix it was reached.
const base = location.pathname.replace(/\/docs$/, "");
fetch(`${base}/openapi.json`)
  .then((answer) => answer.json())
  .then((spec) => {
    SwaggerUIBundle({
      spec: { ...spec, servers: [{ url: location.origin + base }] },
      dom_id: "#viewer",
      deepLinking: true,
      displayRequestDuration: true,
      validatorUrl: null,
    });
  });
