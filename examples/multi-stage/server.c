/* A web server that answers every request with one line. `server --once` answers one request and ends. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nHallo\n";

int main(int argc, char **argv) {
  int once = argc > 1 && strcmp(argv[1], "--once") == 0;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8080), .sin_addr.s_addr = INADDR_ANY};
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  int yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 16) != 0) {
    perror("server");
    return 1;
  }
  puts("listening on port 8080");
  fflush(stdout);
  do {
    char request[4096];
    int connection = accept(listener, NULL, NULL);
    if (connection < 0) continue;
    if (read(connection, request, sizeof request) > 0 && write(connection, answer, sizeof answer - 1) < 0) perror("write");
    /* Closing with unread input would reset the connection and take the answer along. */
    shutdown(connection, SHUT_WR);
    while (read(connection, request, sizeof request) > 0) {
    }
    close(connection);
  } while (!once);
  return 0;
}
