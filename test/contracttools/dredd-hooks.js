// What Dredd cannot know from openapi.yaml. Everything else is its default.
const hooks = require('hooks');

// Dredd does not write the body of a form. It has the fields of the JSON example of the same operation.
const form = 'application/x-www-form-urlencoded';
hooks.beforeAll((transactions, done) => {
	for (const { request, fullPath } of transactions.filter((t) => t.request.headers['Content-Type'] === form)) {
		const json = transactions.find((t) => t.fullPath === fullPath && t.request.method === request.method && t.request.body.startsWith('{'));
		request.body = new URLSearchParams(JSON.parse(json.request.body)).toString();
	}
	done();
});

// The operations whose examples do not succeed with --dev: harness.BeyondDev.
const beyondDev = process.env.BEYOND_DEV.split(',');

hooks.beforeEach((transaction, done) => {
	const { expected, request, fullPath } = transaction;
	// Dredd sends the same valid request for every documented status. Only the successes can be the response.
	transaction.skip = !expected.statusCode.startsWith('2') || beyondDev.includes(`${request.method} ${fullPath}`);
	const type = expected.headers['Content-Type'] ?? '';
	if (type.startsWith('text/')) {
		// Dredd compares the header as a string, and the body of a page or a script with its example.
		expected.headers['Content-Type'] = `${type}; charset=utf-8`;
		delete expected.body;
		delete expected.bodySchema;
	}
	if (transaction.name.includes('/v1/user/export')) {
		// Dredd requires every field of an example, and compares no schema. The example has more than the example user: Specmatic checks it.
		delete expected.body;
	}
	if (type === 'text/css') { // the example of `asset` is a script
		transaction.fullPath = transaction.fullPath.replace('.js', '.css');
	}
	done();
});
