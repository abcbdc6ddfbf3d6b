// Runs `sshd -i` on a virtio-serial port, one connection after the other.
//
// Each sshd is started before its client is there, and waits in the write of its banner: such a write blocks until the
// host's end is open. So a clone of a template wakes with an sshd that has all its start behind it. A read would not
// wait: it returns 0 at once while the host's end is closed, which is also how an sshd learns that its client is gone, in
// a guest whose state was loaded no less than after a disconnect.
//
// To a second port it writes a line before each sshd: whoever connects after that meets the new one and not the last.
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// Writes the path of the port's device; which one it is depends on the order of the devices.
static int find_port(const char *name, char *path, size_t size)
{
	glob_t ports;
	int found = 0;

	if (glob("/sys/class/virtio-ports/*/name", 0, NULL, &ports))
		return 0;
	for (size_t i = 0; i < ports.gl_pathc && !found; i++) {
		char line[64] = "", device[64];
		FILE *file = fopen(ports.gl_pathv[i], "r");

		if (!file)
			continue;
		if (fgets(line, sizeof line, file) && sscanf(ports.gl_pathv[i], "/sys/class/virtio-ports/%63[^/]", device) == 1) {
			line[strcspn(line, "\n")] = '\0';
			found = strcmp(line, name) == 0;
			snprintf(path, size, "/dev/%s", device);
		}
		fclose(file);
	}
	globfree(&ports);
	return found;
}

static int open_port(const char *name)
{
	char path[80];
	int port;

	if (!find_port(name, path, sizeof path))
		errx(1, "no virtio-serial port is named %s", name);
	port = open(path, O_RDWR | O_CLOEXEC);
	if (port < 0)
		err(1, "%s", path);
	return port;
}

int main(int argc, char **argv)
{
	int ready;

	if (argc != 3)
		errx(2, "usage: ssh-port SSH_PORT READY_PORT");
	ready = open_port(argv[2]);
	for (;;) {
		// Opened anew each time: the kernel then throws away what the last client left unread.
		int port = open_port(argv[1]);
		pid_t child;

		if (write(ready, "ready\n", 6) != 6)
			err(1, "%s", argv[2]);
		child = fork();
		if (child < 0)
			err(1, "fork");
		if (child == 0) {
			dup2(port, STDIN_FILENO);
			dup2(port, STDOUT_FILENO);
			execl("/usr/sbin/sshd", "sshd", "-i", NULL);
			err(1, "sshd");
		}
		waitpid(child, NULL, 0);
		close(port);
	}
}
