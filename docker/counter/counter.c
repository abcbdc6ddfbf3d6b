// Answers GET /helloworld/ on port 8080 with the number of requests before this one, which only this
// process's memory holds. A connection stays open for as long as the client likes, so that a lesson
// can migrate it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 8080, MAX_CLIENTS = 32, MAX_REQUEST = 2048 };

static struct pollfd polled[1 + MAX_CLIENTS]; // the listening socket, then the clients
static char request[1 + MAX_CLIENTS][MAX_REQUEST];
static int length[1 + MAX_CLIENTS];
static unsigned long requests;

// A process that is its container's PID 1 gets only the signals it handles.
static void stop(int signal)
{
	(void)signal;
	_exit(0);
}

static void disconnect(int i)
{
	close(polled[i].fd);
	polled[i].fd = -1;
	length[i] = 0;
}

static void answer(int i)
{
	char body[32] = "not found", head[128], method[8] = "", path[128] = "";
	const char *status = "404 Not Found";
	int last = strcasestr(request[i], "connection: close") || strstr(request[i], "HTTP/1.0");

	sscanf(request[i], "%7s %127s", method, path);
	if (strcmp(path, "/helloworld/") == 0) {
		status = "200 OK";
		snprintf(body, sizeof body, "%lu", requests++);
	}
	// The log lets a lesson look at the counter without counting.
	printf("%s %s %.3s %s\n", method, path, status, body);
	int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s\n",
			 status, strlen(body) + 1, body);
	if (send(polled[i].fd, head, n, MSG_NOSIGNAL) < n || last)
		disconnect(i);
}

static void receive(int i)
{
	int n = read(polled[i].fd, request[i] + length[i], MAX_REQUEST - 1 - length[i]);
	if (n <= 0) { // gone, or more than a request may be
		disconnect(i);
		return;
	}
	length[i] += n;
	request[i][length[i]] = '\0';
	// Someone who types a request by hand ends its lines without a carriage return.
	if (strstr(request[i], "\r\n\r\n") || strstr(request[i], "\n\n")) {
		length[i] = 0;
		answer(i);
	}
}

static void accept_client(void)
{
	int client = accept(polled[0].fd, NULL, NULL);

	for (int i = 1; i <= MAX_CLIENTS; i++)
		if (polled[i].fd < 0) {
			polled[i].fd = client;
			return;
		}
	close(client);
}

int main(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(PORT) };

	signal(SIGTERM, stop);
	signal(SIGINT, stop);
	for (int i = 0; i <= MAX_CLIENTS; i++)
		polled[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	polled[0].fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(polled[0].fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(polled[0].fd, (struct sockaddr *)&address, sizeof address) || listen(polled[0].fd, MAX_CLIENTS))
		err(1, "port %d", PORT);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("listening on %d\n", PORT);
	for (;;) {
		if (poll(polled, 1 + MAX_CLIENTS, -1) < 0)
			continue;
		if (polled[0].revents)
			accept_client();
		for (int i = 1; i <= MAX_CLIENTS; i++)
			if (polled[i].fd >= 0 && polled[i].revents)
				receive(i);
	}
}
