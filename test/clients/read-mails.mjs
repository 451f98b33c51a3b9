// read-mails.mjs DIR parses the mails of a directory with mailparser and prints the result as JSON.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { simpleParser } from "mailparser";

const directory = process.argv[2];
const mails = [];
for (const file of readdirSync(directory).filter((name) => name.endsWith(".eml")).sort()) {
  const mail = await simpleParser(readFileSync(join(directory, file)));
  mails.push({
    name: mail.from.value[0].name, from: mail.from.value[0].address, senders: mail.from.value.length,
    to: mail.to.value[0].address, subject: mail.subject, text: mail.text, id: mail.messageId,
  });
}
process.stdout.write(JSON.stringify(mails));
